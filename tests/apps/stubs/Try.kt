// Runs the guide's Kotlin as far as a JVM can: the crop of a picture, and the choice of GPU or CPU.
import android.content.Context
import android.content.res.AssetManager
import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel
import com.google.ai.edge.litert.LiteRtException
import com.google.ai.edge.litert.TensorBuffer
import java.io.File

var open = 0

class Buffer(private val values: FloatArray?) : TensorBuffer() {
    init { open++ }
    override fun writeFloat(data: FloatArray) = Unit
    override fun writeInt8(data: ByteArray) = Unit
    override fun readFloat() = values!!
    override fun close() { open-- }
}

class Fake : CompiledModel() {
    init { open++ }
    override fun createInputBuffers(signatureIndex: Int) = listOf(Buffer(null))
    override fun createOutputBuffers(signatureIndex: Int) = Model.EXPECTED.map { Buffer(it) }
    override fun run(
        inputs: List<TensorBuffer>, outputs: List<TensorBuffer>, signatureIndex: Int,
    ) = Unit
    override fun close() { open-- }
}

fun main(arguments: Array<String>) {
    val (width, height) = arguments.slice(1..2).map { it.toInt() }
    val (x, y, wide, high, tilt) = arguments.slice(3..7).map { it.toDouble() }
    val picture = Picture(File(arguments[0]).readBytes(), width, height, 3 * width, 3, 0, 1, 2)
    println(Crop.ofFace(picture, x, y, wide, high, tilt).joinToString(" "))
    println(Crop.workedInput().joinToString(" "))
    val context = Context(object : AssetManager() {
        override fun open(fileName: String) = File(fileName).inputStream()
    })
    for (hasGpu in listOf(true, false)) {
        CompiledModel.made = { options ->
            val alone = hasGpu && options.asked.size == 1
            if (Accelerator.GPU in options.asked && !alone) throw LiteRtException("no GPU")
            Fake()
        }
        Model(context).use { println("${it.accelerator} ${it.reason} ${it.check()}") }
        println("$open open")
    }
}
