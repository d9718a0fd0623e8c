import androidx.camera.core.ImageProxy

/** The Y plane of a camera's frame in YUV_420_888, which is gray. Close the frame afterwards. */  //@gray
fun ImageProxy.asPicture(): Picture {  //@gray
    val plane = planes[0]  //@gray
    plane.buffer.rewind()  //@gray
    val bytes = ByteArray(plane.buffer.remaining()).also { plane.buffer.get(it) }  //@gray
    return Picture(bytes, width, height, plane.rowStride, plane.pixelStride)  //@gray
}  //@gray
/** A camera's frame in colours. Close the frame afterwards. */  //@colour
fun ImageProxy.asPicture(): Picture = toBitmap().asPicture()  //@colour

/** What to add to a tilt that was measured in the frame turned upright: radians. */
fun ImageProxy.tilt(): Double = -Math.toRadians(imageInfo.rotationDegrees.toDouble())
