plugins {
    id("com.android.application")
}

// Another bundle of the same input and classes: -Pbundle=../../exports/vgg8
val bundle = providers.gradleProperty("bundle").getOrElse("../../exports/B")
val copied = layout.buildDirectory.dir("bundle")
val copyBundle by tasks.registering(Copy::class) {
    from(rootDir.resolve(bundle)) { include("model.tflite") }
    into(copied)
}

android {
    namespace = "org.kerakd.example"
    compileSdk = 36
    defaultConfig {
        applicationId = "org.kerakd.example"
        minSdk = 24
        targetSdk = 36
        versionCode = 1
        versionName = "1.0"
    }
    // LiteRT maps the file into memory, which a compressed one doesn't allow.
    androidResources { noCompress += "tflite" }
    // Libraries stay as they are in the package, at multiples of 16 KB.
    packaging { jniLibs { useLegacyPackaging = false } }
    sourceSets["main"].assets.srcDir(copied)
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
}

tasks.named("preBuild") { dependsOn(copyBundle) }

dependencies {
    implementation("com.google.ai.edge.litert:litert:2.3.2")
    implementation("com.google.ai.edge.litert:litert-gpu:2.3.2")
}
