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
    private static final int ENVIRONMENT_BYTES = 8192; // more than what a machine is booted with
    private static final int RECORD_BYTES = 128 * 1024;

    private PreBoot() {}

    /** Returns at once where the function is known already. */
    static void awaitFunction() {
        String places = places();
        if (places == null) {
            beAlike();
            return;
        }
        try {
            if (!CLibrary.load()) {
                throw new IOException("there is no library for this machine");
            }
            await(places.split(" "));
        } catch (Throwable broken) { // nothing that a function could be told: there is none
            broken.printStackTrace();
            Runtime.getRuntime().halt(1);
        }
    }

    /** A machine with a function of its own does not need the library, but functions are to see the same in both. */
    private static void beAlike() {
        try {
            CLibrary.load();
        } catch (UnsatisfiedLinkError unusable) {
            return; // then no machine waits either
        }
    }

    /** All of it but what changes this process. */
    static void rehearse() {
        places();
        try {
            if (CLibrary.load()) {
                makeReady();
            }
        } catch (UnsatisfiedLinkError unusable) {
            return; // no machine will wait
        } catch (Throwable broken) {
            throw new IllegalStateException(broken);
        }
    }

    private static void makeReady() throws Throwable {
        CLibrary.setVariable(VARIABLE, ""); // what is done once is done faster the next time
        CLibrary.changeFolder(System.getProperty("user.dir"));
        Warming.run();
    }

    private static void await(String[] places) throws Throwable {
        int start = Integer.parseInt(places[0]);
        int ready = Integer.parseInt(places[1]);
        makeReady();
        CLibrary.write(ready, ".");
        CLibrary.closeDescriptor(ready);
        byte[] record = CLibrary.read(start, RECORD_BYTES);
        CLibrary.closeDescriptor(start);
        if (record.length == 0) { // there will be no function
            Runtime.getRuntime().halt(0);
        }
        become((Map<?, ?>) JsonReader.read(new String(record, StandardCharsets.UTF_8)));
    }

    private static void become(Map<?, ?> variables) throws IOException {
        CLibrary.clearEnvironment();
        for (Map.Entry<?, ?> variable : variables.entrySet()) {
            CLibrary.setVariable((String) variable.getKey(), (String) variable.getValue());
        }
        CLibrary.changeFolder(System.getProperty("user.dir")); // to what is there now
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
