// The classes of Android that examples/android uses besides.
package android.app

import android.content.Context
import android.content.Intent
import android.content.res.AssetManager
import android.os.Bundle
import android.view.View

abstract class Activity(assets: AssetManager) : Context(assets) {
    constructor() : this(object : AssetManager() {
        override fun open(fileName: String) = java.io.File(fileName).inputStream()
    })

    val contentResolver = android.content.ContentResolver()
    protected open fun onCreate(savedInstanceState: Bundle?) = Unit
    protected open fun onActivityResult(requestCode: Int, resultCode: Int, data: Intent?) = Unit
    protected open fun onDestroy() = Unit
    fun setContentView(view: View) = Unit
    fun startActivityForResult(intent: Intent, requestCode: Int) = Unit
    fun runOnUiThread(action: Runnable) = action.run()
}
