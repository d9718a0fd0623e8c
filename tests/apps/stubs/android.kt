// Declarations of the few Android classes that the programs use, to compile against without an SDK.
package android.content

class Context(val assets: android.content.res.AssetManager)
