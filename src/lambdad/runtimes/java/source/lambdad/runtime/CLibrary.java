package lambdad.runtime;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * What only the C library can do to this process: its environment, its working directory, its descriptors.
 *
 * <p>The calls are in CLibrary.c, of which there is a library for each kind of machine, beside the jar.
 */
final class CLibrary {
    private CLibrary() {}

    /** False where there is none for this machine, or not beside the working directory. UnsatisfiedLinkError if it cannot be used. */
    static boolean load() {
        File file = new File("../runtime/clibrary-" + System.getProperty("os.arch") + ".so");
        if (!file.isFile()) {
            return false;
        }
        System.load(file.getAbsolutePath());
        return true;
    }

    /** Waits for a record of at most so many bytes. None is an empty one. */
    static byte[] read(int descriptor, int size) throws IOException {
        byte[] buffer = new byte[size];
        int count = read(descriptor, buffer);
        check(Math.min(count, 0), "read");
        return Arrays.copyOf(buffer, count);
    }

    static void write(int descriptor, String text) throws IOException {
        check(Math.min(write(descriptor, text.getBytes(StandardCharsets.UTF_8)), 0), "write");
    }

    static void closeDescriptor(int descriptor) throws IOException {
        check(close(descriptor), "close");
    }

    static void clearEnvironment() throws IOException {
        check(clearenv(), "clearenv");
    }

    static void setVariable(String name, String value) throws IOException {
        check(setenv(bytes(name), bytes(value)), "setenv");
    }

    static void changeFolder(String path) throws IOException {
        check(chdir(bytes(path)), "chdir");
    }

    private static byte[] bytes(String text) {
        return (text + '\0').getBytes(StandardCharsets.UTF_8);
    }

    private static void check(int status, String function) throws IOException {
        if (status != 0) {
            throw new IOException(function + " failed");
        }
    }

    private static native int clearenv();

    private static native int setenv(byte[] name, byte[] value);

    private static native int chdir(byte[] path);

    private static native int read(int descriptor, byte[] buffer);

    private static native int write(int descriptor, byte[] content);

    private static native int close(int descriptor);
}
