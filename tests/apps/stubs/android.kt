// Declarations of the few Android classes that the programs use, to compile against without an SDK.
package android.content

import android.net.Uri
import java.io.InputStream

open class Context(val assets: android.content.res.AssetManager)

class ContentResolver {
    fun openInputStream(uri: Uri): InputStream? = null
}

class Intent(val action: String) {
    val data: Uri? = null
    fun setType(type: String?): Intent = this

    companion object {
        const val ACTION_GET_CONTENT = "android.intent.action.GET_CONTENT"
    }
}
