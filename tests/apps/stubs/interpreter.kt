// Declarations after LiteRT's copy of TensorFlow Lite's Java sources.
package org.tensorflow.lite

import java.nio.ByteBuffer

class Interpreter(byteBuffer: ByteBuffer, options: Options) : AutoCloseable {
    class Options {
        fun setNumThreads(numThreads: Int): Options = this
    }

    fun runForMultipleInputsOutputs(inputs: Array<Any>, outputs: Map<Int, Any>) = Unit
    override fun close() = Unit
}
