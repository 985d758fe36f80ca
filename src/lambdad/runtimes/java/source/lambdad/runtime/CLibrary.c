/* What CLibrary.java cannot do in Java: the calls that it declares, one by one. Texts come as bytes that end in a zero.
 *
 * Made by `make java-client`: linked with no C library, it has its calls from the one that the virtual machine uses.
 */
#include <jni.h>
#include <stdlib.h>
#include <unistd.h>

#define FAILED (-1)
#define CALL(result, name) JNIEXPORT result JNICALL Java_lambdad_runtime_CLibrary_##name

__attribute__((used, section(".lambdad"))) static const char made_of[] = MADE_OF;

/* Null when there is no memory for a copy; then an exception is waiting. */
static char *bytes(JNIEnv *env, jbyteArray array) {
    return (char *)(*env)->GetByteArrayElements(env, array, NULL);
}

static void forget(JNIEnv *env, jbyteArray array, char *bytes) {
    if (bytes != NULL) {
        (*env)->ReleaseByteArrayElements(env, array, (jbyte *)bytes, JNI_ABORT);
    }
}

CALL(jint, clearenv)(JNIEnv *env, jclass type) {
    return clearenv();
}

CALL(jint, setenv)(JNIEnv *env, jclass type, jbyteArray name, jbyteArray value) {
    char *name_bytes = bytes(env, name);
    char *value_bytes = name_bytes == NULL ? NULL : bytes(env, value);
    int status = value_bytes == NULL ? FAILED : setenv(name_bytes, value_bytes, 1);
    forget(env, value, value_bytes);
    forget(env, name, name_bytes);
    return status;
}

CALL(jint, chdir)(JNIEnv *env, jclass type, jbyteArray path) {
    char *path_bytes = bytes(env, path);
    int status = path_bytes == NULL ? FAILED : chdir(path_bytes);
    forget(env, path, path_bytes);
    return status;
}

CALL(jint, read)(JNIEnv *env, jclass type, jint descriptor, jbyteArray buffer) {
    jsize size = (*env)->GetArrayLength(env, buffer);
    char *buffer_bytes = bytes(env, buffer);
    if (buffer_bytes == NULL) {
        return FAILED;
    }
    jint count = (jint)read(descriptor, buffer_bytes, (size_t)size);
    (*env)->ReleaseByteArrayElements(env, buffer, (jbyte *)buffer_bytes, 0);
    return count;
}

CALL(jint, write)(JNIEnv *env, jclass type, jint descriptor, jbyteArray content) {
    jsize size = (*env)->GetArrayLength(env, content);
    char *content_bytes = bytes(env, content);
    jint count = content_bytes == NULL ? FAILED : (jint)write(descriptor, content_bytes, (size_t)size);
    forget(env, content, content_bytes);
    return count;
}

CALL(jint, close)(JNIEnv *env, jclass type, jint descriptor) {
    return close(descriptor);
}
