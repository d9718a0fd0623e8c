package android.graphics

import java.io.InputStream
import java.nio.Buffer

abstract class Bitmap {
    enum class Config { ALPHA_8, RGB_565, ARGB_4444, ARGB_8888, RGBA_F16, HARDWARE, RGBA_1010102 }

    abstract val width: Int
    abstract val height: Int
    abstract val rowBytes: Int
    abstract val config: Config?
    abstract fun copyPixelsToBuffer(dst: Buffer)
    abstract fun copy(config: Config, isMutable: Boolean): Bitmap?
}

object BitmapFactory {
    @JvmStatic fun decodeStream(stream: InputStream?): Bitmap? = null
}
