package android.widget

import android.content.Context
import android.graphics.Bitmap
import android.view.View

open class TextView(context: Context) : View(context) {
    var text: CharSequence = ""
}

class Button(context: Context) : TextView(context)

class ImageView(context: Context) : View(context) {
    fun setImageBitmap(bitmap: Bitmap?) = Unit
}

class LinearLayout(context: Context) : View(context) {
    var orientation = 0
    fun addView(child: View) = Unit

    companion object {
        const val VERTICAL = 1
    }
}
