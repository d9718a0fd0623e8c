// Declarations after LiteRT's sources of August 2026, to compile against without its AAR.
package com.google.ai.edge.litert

import android.content.res.AssetManager

enum class Accelerator { NONE, CPU, GPU, NPU }

class LiteRtException(message: String) : Exception(message)

abstract class TensorBuffer : AutoCloseable {
    abstract fun writeFloat(data: FloatArray)
    abstract fun writeInt8(data: ByteArray)
    abstract fun readFloat(): FloatArray
}

abstract class CompiledModel : AutoCloseable {
    data class CpuOptions(
        val numThreads: Int? = null,
        val xnnPackFlags: Int? = null,
        val xnnPackWeightCachePath: String? = null,
    )

    class Options(vararg accelerators: Accelerator) {
        val asked = accelerators.toSet()
        var cpuOptions: CpuOptions? = null
    }

    abstract fun createInputBuffers(signatureIndex: Int = 0): List<TensorBuffer>
    abstract fun createOutputBuffers(signatureIndex: Int = 0): List<TensorBuffer>
    abstract fun run(
        inputs: List<TensorBuffer>, outputs: List<TensorBuffer>, signatureIndex: Int = 0,
    )

    companion object {
        /** What `create` does, set by the test. */
        lateinit var made: (Options) -> CompiledModel

        @JvmOverloads
        @JvmStatic
        @Throws(LiteRtException::class)
        fun create(
            assetManager: AssetManager,
            assetName: String,
            options: Options = Options(Accelerator.CPU),
        ) = made(options)
    }
}
