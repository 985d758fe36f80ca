package lambdad.runtime;

import lambdad.runtime.json.JsonReader;

import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.Map;

/**
 * A machine that is started before its function is known: it makes itself ready, and waits here for the function's variables.
 *
 * <p>`System.getenv` reads the environment of the process once, when it is first asked. So nobody may ask it before.
 */
final class PreBoot {
    private static final String VARIABLE = "_LAMBDAD_BOOT"; // "1022 1023": where variables come from, where to say that it is ready
    private static final int OLDEST = 22; // Java that can call the C library
    private static final int ENVIRONMENT_BYTES = 8192; // more than what a machine is booted with
    private static final int RECORD_BYTES = 128 * 1024;

    private PreBoot() {}

    /** Returns at once where the function is known already. */
    static void awaitFunction() {
        String places = release() < OLDEST ? null : places();
        if (places == null) {
            return;
        }
        try {
            await(places.split(" "));
        } catch (Throwable broken) { // nothing that a function could be told: there is none
            broken.printStackTrace();
            Runtime.getRuntime().halt(1);
        }
    }

    /** All of it but what changes this process. */
    static void rehearse() {
        places();
        if (release() < OLDEST) {
            return;
        }
        try {
            makeReady().close();
        } catch (Throwable broken) {
            throw new IllegalStateException(broken);
        }
    }

    private static CLibrary makeReady() throws Throwable {
        CLibrary library = new CLibrary(RECORD_BYTES);
        library.setVariable(VARIABLE, ""); // what is done once is done faster the next time
        library.changeFolder(System.getProperty("user.dir"));
        Warming.run();
        return library;
    }

    private static void await(String[] places) throws Throwable {
        int start = Integer.parseInt(places[0]);
        int ready = Integer.parseInt(places[1]);
        CLibrary library = makeReady();
        library.write(ready, ".");
        library.close(ready);
        byte[] record = library.read(start);
        library.close(start);
        if (record.length == 0) { // there will be no function
            Runtime.getRuntime().halt(0);
        }
        become((Map<?, ?>) JsonReader.read(new String(record, StandardCharsets.UTF_8)), library);
        library.close();
    }

    private static void become(Map<?, ?> variables, CLibrary library) throws Throwable {
        library.clearEnvironment();
        for (Map.Entry<?, ?> variable : variables.entrySet()) {
            library.setVariable((String) variable.getKey(), (String) variable.getValue());
        }
        library.changeFolder(System.getProperty("user.dir")); // to what is there now
    }

    private static int release() {
        String version = System.getProperty("java.specification.version", "");
        return Integer.parseInt(version.substring(version.lastIndexOf('.') + 1)); // of 8 it is 1.8
    }

    /** As the kernel has the environment. Null where there is no such variable. */
    private static String places() {
        byte[] bytes = new byte[ENVIRONMENT_BYTES];
        int count;
        try (InputStream environment = new FileInputStream("/proc/self/environ")) {
            count = environment.read(bytes);
        } catch (IOException absent) { // another system, on which nothing is pre-booted
            return null;
        }
        for (String variable : new String(bytes, 0, Math.max(count, 0), StandardCharsets.ISO_8859_1).split("\0")) {
            if (variable.startsWith(VARIABLE + "=")) {
                return variable.substring(VARIABLE.length() + 1);
            }
        }
        return null;
    }
}
