import android.content.Context
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.tensorflow.lite.Interpreter

/** @NAME@ on the older Interpreter, on the CPU. Use it from one thread. */
class InterpreterModel(context: Context, threads: Int = 2) : AutoCloseable {
    private val interpreter =
        Interpreter(read(context), Interpreter.Options().setNumThreads(threads))
    private val input = ByteBuffer.allocateDirect(@BYTES@).order(ByteOrder.nativeOrder())

    /** Computes the outputs, in the file's order: @OUTPUT_NAMES@. */
    fun run(image: @ARRAY@): List<FloatArray> {
        input.rewind()
        input.put(image)  //@bytes
        input.asFloatBuffer().put(image)  //@float
        input.rewind()
        val outputs = listOf(@ROWS@)
        val numbered = outputs.withIndex().associate { it.index to it.value }
        interpreter.resetVariableTensors()  //@state
        interpreter.runForMultipleInputsOutputs(arrayOf<Any>(input), numbered)
        return outputs.map { it[0] }
    }

    override fun close() = interpreter.close()

    private companion object {
        fun read(context: Context): ByteBuffer {
            val file = context.assets.open(@FILE@).use { it.readBytes() }
            return ByteBuffer.allocateDirect(file.size).order(ByteOrder.nativeOrder()).put(file)
        }
    }
}
