package org.kerakd.example

import kotlin.math.abs
import kotlin.math.ceil
import kotlin.math.cos
import kotlin.math.max
import kotlin.math.sin

/**
 * Pixels in memory: rows are [row] bytes apart, pixels [step] bytes, and red, green and blue lie so
 * many bytes after a pixel's start. A camera's Y plane has its rowStride, step 1 and three zeros;
 * a bitmap's bytes (ARGB_8888) are R, G, B, A.
 */
class Picture(
    val bytes: ByteArray, val width: Int, val height: Int, val row: Int, val step: Int,
    val red: Int = 0, val green: Int = 0, val blue: Int = 0,
) {
    fun at(x: Double, y: Double, channel: Int): Double {
        val right = (x - 0.5).coerceIn(0.0, width - 1.0)
        val down = (y - 0.5).coerceIn(0.0, height - 1.0)
        val left = right.toInt()
        val top = down.toInt()
        fun byte(u: Int, v: Int) =
            bytes[minOf(v, height - 1) * row + minOf(u, width - 1) * step + channel].toInt() and 255
        val a = right - left
        val b = down - top
        return (1 - b) * ((1 - a) * byte(left, top) + a * byte(left + 1, top)) +
            b * ((1 - a) * byte(left, top + 1) + a * byte(left + 1, top + 1))
    }
}

/** What goes into the model, and how pictures become it. */
object Crop {
    const val HEIGHT = 48
    const val WIDTH = 48
    const val CHANNELS = 1

    /** A pixel of 0..255 as the model takes it. */
    private fun value(pixel: Double) = (pixel + 0.5).toInt().toByte()

    /**
     * Cuts out a rectangle around (x, y), turned clockwise by [tilt] radians, in the model's size:
     * bilinear, smoothed where it shrinks. Beyond the picture its border is repeated.
     */
    fun of(
        from: Picture, x: Double, y: Double, width: Double, height: Double, tilt: Double = 0.0,
    ): ByteArray {
        val across = max(1, ceil(width / WIDTH).toInt())
        val down = max(1, ceil(height / HEIGHT).toInt())
        val along = cos(tilt)
        val aside = sin(tilt)
        val image = ByteArray(HEIGHT * WIDTH * CHANNELS)
        for (i in 0 until HEIGHT * WIDTH) {
            var red = 0.0
            var green = 0.0
            var blue = 0.0
            var total = 0.0
            for (v in 1 - down until down) for (u in 1 - across until across) {
                val weight = (1 - abs(u).toDouble() / across) * (1 - abs(v).toDouble() / down)
                val a = ((i % WIDTH + 0.5 + u.toDouble() / across) / WIDTH - 0.5) * width
                val b = ((i / WIDTH + 0.5 + v.toDouble() / down) / HEIGHT - 0.5) * height
                val right = x + a * along - b * aside
                val below = y + a * aside + b * along
                red += weight * from.at(right, below, from.red)
                green += weight * from.at(right, below, from.green)
                blue += weight * from.at(right, below, from.blue)
                total += weight
            }
            val gray = (19595 * red + 38470 * green + 7471 * blue) / 65536 / total
            image[i] = value(gray)
        }
        return image
    }

    /**
     * As [of], for a face by its box from the brows to the chin, as the training images were cut.
     * Tilt is atan2(y of the left eye - y of the right, x of the left - x of the right).
     */
    fun ofFace(
        from: Picture, x: Double, y: Double, width: Double, height: Double, tilt: Double = 0.0,
    ): ByteArray {
        val side = 1.17 * max(width, height)
        val rise = 0.09 * height
        val middle = x + width / 2 + rise * sin(tilt)
        return of(from, middle, y + height / 2 - rise * cos(tilt), side, side, tilt)
    }

    /** The worked input, for the app's first test. */
    fun workedInput() = ByteArray(HEIGHT * WIDTH * CHANNELS) { i ->
        val byte = (i * 37 + i / 64 * 11) % 256
        byte.toByte()
    }
}
