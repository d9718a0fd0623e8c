// The plugin compiles Kotlin itself since 9.0.
plugins {
    id("com.android.application") version "9.1.0" apply false
}
