package lambdad.runtime;

import java.io.IOException;
import java.lang.invoke.MethodHandle;
import java.lang.reflect.Array;
import java.lang.reflect.Method;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.NoSuchElementException;
import java.util.Optional;

/**
 * What only the C library can do to this process, from Java 22 on: its environment, its working directory, its descriptors.
 *
 * <p>java.lang.foreign is found by reflection, since this is compiled for Java 8. Addresses are passed as the numbers that they
 * are. Everything goes through one piece of memory of its own, which `close` gives back; for one thread alone.
 */
final class CLibrary {
    private static final String PACKAGE = "java.lang.foreign.";

    private final Object linker;
    private final Object arena;
    private final Object symbols;
    private final ByteBuffer memory;
    private final long address; // of `memory`
    private final MethodHandle read;
    private final MethodHandle write;
    private final MethodHandle close;
    private final MethodHandle clearenv;
    private final MethodHandle setenv;
    private final MethodHandle chdir;

    /** `size` is the most bytes that a record, or the name and the value of a variable, may have. */
    CLibrary(int size) throws ReflectiveOperationException {
        Class<?> arenaType = type("Arena");
        linker = method("Linker", "nativeLinker").invoke(null);
        arena = method("Arena", "ofConfined").invoke(null);
        // The linker's own lookup would bring in another library, which a function could see.
        symbols = method("SymbolLookup", "libraryLookup", String.class, arenaType).invoke(null, "libc.so.6", arena);
        Object segment = method("SegmentAllocator", "allocate", long.class).invoke(arena, (long) size);
        memory = (ByteBuffer) method("MemorySegment", "asByteBuffer").invoke(segment);
        address = (Long) method("MemorySegment", "address").invoke(segment);
        read = find("read", long.class, int.class, long.class, long.class);
        write = find("write", long.class, int.class, long.class, long.class);
        close = find("close", int.class, int.class);
        clearenv = find("clearenv", int.class);
        setenv = find("setenv", int.class, long.class, long.class, int.class);
        chdir = find("chdir", int.class, long.class);
    }

    /** Waits for a record. None is an empty one. */
    byte[] read(int descriptor) throws Throwable {
        long count = (long) read.invokeExact(descriptor, address, (long) memory.capacity());
        if (count < 0) {
            throw new IOException("descriptor " + descriptor + " cannot be read");
        }
        byte[] record = new byte[(int) count];
        memory.clear();
        memory.get(record);
        return record;
    }

    void write(int descriptor, String text) throws Throwable {
        put(text);
        if ((long) write.invokeExact(descriptor, address, (long) memory.position() - 1) < 0) {
            throw new IOException("descriptor " + descriptor + " cannot be written to");
        }
    }

    void close(int descriptor) throws Throwable {
        check((int) close.invokeExact(descriptor), "close");
    }

    void clearEnvironment() throws Throwable {
        check((int) clearenv.invokeExact(), "clearenv");
    }

    void setVariable(String name, String value) throws Throwable {
        put(name);
        long valueAddress = address + memory.position();
        append(value);
        check((int) setenv.invokeExact(address, valueAddress, 1), "setenv");
    }

    void changeFolder(String path) throws Throwable {
        put(path);
        check((int) chdir.invokeExact(address), "chdir");
    }

    /** Nothing else may be asked of this any more. */
    void close() throws ReflectiveOperationException {
        method("Arena", "close").invoke(arena);
    }

    private void put(String text) {
        memory.clear();
        append(text);
    }

    private void append(String text) {
        memory.put(text.getBytes(StandardCharsets.UTF_8)).put((byte) 0);
    }

    private static void check(int status, String function) throws IOException {
        if (status != 0) {
            throw new IOException(function + " failed");
        }
    }

    private MethodHandle find(String name, Class<?> result, Class<?>... parameters) throws ReflectiveOperationException {
        Object layouts = Array.newInstance(type("MemoryLayout"), parameters.length);
        for (int i = 0; i < parameters.length; i++) {
            Array.set(layouts, i, layout(parameters[i]));
        }
        Object symbol = ((Optional<?>) method("SymbolLookup", "find", String.class).invoke(symbols, name))
                .orElseThrow(() -> new NoSuchElementException("the C library has no " + name));
        Object signature = method("FunctionDescriptor", "of", type("MemoryLayout"), layouts.getClass())
                .invoke(null, layout(result), layouts);
        Object options = Array.newInstance(type("Linker$Option"), 0);
        Method link = method("Linker", "downcallHandle", type("MemorySegment"), type("FunctionDescriptor"), options.getClass());
        return (MethodHandle) link.invoke(linker, symbol, signature, options);
    }

    private static Object layout(Class<?> primitive) throws ReflectiveOperationException {
        return type("ValueLayout").getField(primitive == int.class ? "JAVA_INT" : "JAVA_LONG").get(null);
    }

    private static Method method(String type, String name, Class<?>... parameters) throws ReflectiveOperationException {
        return type(type).getMethod(name, parameters);
    }

    private static Class<?> type(String name) throws ClassNotFoundException {
        return Class.forName(PACKAGE + name);
    }
}
