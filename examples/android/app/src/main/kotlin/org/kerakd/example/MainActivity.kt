package org.kerakd.example

import android.app.Activity
import android.content.Intent
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.net.Uri
import android.os.Bundle
import android.widget.Button
import android.widget.ImageView
import android.widget.LinearLayout
import android.widget.TextView
import java.util.concurrent.Executors

/** Reads the middle square of a picture that the user chooses. Nothing leaves the device. */
class MainActivity : Activity() {
    // The model is made, used and closed on this one thread.
    private val worker = Executors.newSingleThreadExecutor()
    private var model: Model? = null
    private lateinit var status: TextView
    private lateinit var result: TextView
    private lateinit var shown: ImageView

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        status = TextView(this)
        result = TextView(this)
        shown = ImageView(this)
        val choose = Button(this)
        choose.text = "Choose a picture"
        choose.setOnClickListener {
            startActivityForResult(Intent(Intent.ACTION_GET_CONTENT).setType("image/*"), 1)
        }
        val column = LinearLayout(this)
        column.orientation = LinearLayout.VERTICAL
        column.fitsSystemWindows = true
        listOf(status, choose, shown, result).forEach(column::addView)
        setContentView(column)
        work { load() }
    }

    private fun load() {
        val made = Model(this)
        model = made
        val right = if (made.check()) "right" else "WRONG: don't rely on it"
        show(status, "${made.accelerator} (${made.reason ?: "all of the model"}), $right")
    }

    @Deprecated("Kept for the sake of an example without other libraries.")
    override fun onActivityResult(requestCode: Int, resultCode: Int, data: Intent?) {
        val uri = data?.data ?: return
        work { read(uri) }
    }

    private fun read(uri: Uri) {
        val decoded = contentResolver.openInputStream(uri)?.use { BitmapFactory.decodeStream(it) }
        val picture = decoded?.copy(Bitmap.Config.ARGB_8888, false)
            ?: return show(result, "This is no picture that Android reads.")
        val side = minOf(picture.width, picture.height).toDouble()
        val middle = Pair(picture.width / 2.0, picture.height / 2.0)
        // The box of a face detector goes to Crop.ofFace, as the training images were cut.
        val image = Crop.of(picture.asPicture(), middle.first, middle.second, side, side)
        val probabilities = model?.run(image)?.first() ?: return
        val rows = Model.LABELS.zip(probabilities.toList()).sortedByDescending { it.second }
        runOnUiThread { shown.setImageBitmap(picture) }
        show(result, rows.joinToString("\n") { "%s %.1f %%".format(it.first, 100 * it.second) })
    }

    private fun work(task: () -> Unit) = worker.execute {
        runCatching(task).onFailure { show(status, "$it") }
    }

    private fun show(view: TextView, words: String) = runOnUiThread { view.text = words }

    override fun onDestroy() {
        worker.execute { model?.close() }
        worker.shutdown()
        super.onDestroy()
    }
}
