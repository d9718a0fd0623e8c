package android.view

import android.content.Context

open class View(context: Context) {
    var fitsSystemWindows = false
    fun setOnClickListener(listener: (View) -> Unit) = Unit
}
