package org.kerakd.example

import android.content.Context
import android.graphics.Bitmap
import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel
import com.google.ai.edge.litert.LiteRtException
import java.nio.ByteBuffer
import kotlin.math.abs

/** model.tflite on the GPU where all of it can run there, or else on the CPU. Use it from one thread. */
class Model(context: Context, threads: Int = 2, gpu: Boolean = true) : AutoCloseable {
    /** What runs the model: GPU or CPU. */
    val accelerator: Accelerator
    /** Why it isn't the GPU; null if it is, or wasn't asked for. */
    val reason: String?
    private val model: CompiledModel

    init {
        // The GPU alone: together with the CPU, LiteRT falls back without saying so.
        val tried = if (!gpu) null else runCatching {
            CompiledModel.create(context.assets, FILE, CompiledModel.Options(Accelerator.GPU))
        }
        val failure = tried?.exceptionOrNull()
        if (failure != null && failure !is LiteRtException) throw failure
        reason = failure?.message
        accelerator = if (tried?.isSuccess == true) Accelerator.GPU else Accelerator.CPU
        model = tried?.getOrNull() ?: CompiledModel.create(context.assets, FILE, onCpu(threads))
    }

    private val inputs = model.createInputBuffers()
    private val outputs = model.createOutputBuffers()

    /** Computes the outputs, in the file's order: probabilities. */
    fun run(image: ByteArray): List<FloatArray> {
        inputs[0].writeInt8(image)
        model.run(inputs, outputs)
        return outputs.map { it.readFloat() }
    }

    /** Whether this device gives what the guide says. */
    fun check(): Boolean = run(Crop.workedInput()).zip(EXPECTED).all { (found, expected) ->
        found.indices.all { abs(found[it] - expected[it]) <= TOLERANCE }
    }

    override fun close() {
        (inputs + outputs).forEach { it.close() }
        model.close()
    }

    companion object {
        const val FILE = "model.tflite"
        const val TOLERANCE = 0.00391f
        val LABELS = listOf<String>("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
        val EXPECTED = listOf(floatArrayOf(0.09766f, 0.00391f, 0.32812f, 0.06641f, 0.37891f, 0.06641f, 0.05469f))

        private fun onCpu(threads: Int) = CompiledModel.Options(Accelerator.CPU).apply {
            cpuOptions = CompiledModel.CpuOptions(threads, null, null)
        }
    }
}

/** A bitmap of the configuration ARGB_8888 as a picture. */
fun Bitmap.asPicture(): Picture {
    require(config == Bitmap.Config.ARGB_8888) { "Copy the bitmap to ARGB_8888 first." }
    val bytes = ByteArray(rowBytes * height)
    copyPixelsToBuffer(ByteBuffer.wrap(bytes))
    return Picture(bytes, width, height, rowBytes, 4, 0, 1, 2)
}
