package example;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;

import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.lang.management.BufferPoolMXBean;
import java.lang.management.GarbageCollectorMXBean;
import java.lang.management.ManagementFactory;
import java.lang.management.MemoryUsage;
import java.lang.management.RuntimeMXBean;
import java.lang.management.ThreadMXBean;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TimeZone;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** All that a function could tell its start by. Looked at when it is loaded, and what starts other programs last. */
public final class Start implements RequestHandler<Map<String, Object>, Map<String, Object>> {
    private final Map<String, Object> seen = new LinkedHashMap<>();
    private final Map<String, Object> alike = new LinkedHashMap<>();

    public Start() throws Exception {
        RuntimeMXBean machine = ManagementFactory.getRuntimeMXBean();
        MemoryUsage heap = ManagementFactory.getMemoryMXBean().getHeapMemoryUsage();
        alike.put("threads", threads());
        alike.put("tasks", tasks());
        alike.put("next thread", Arrays.asList(new Thread().getName(), new Thread().getId()));
        ThreadMXBean counted = ManagementFactory.getThreadMXBean();
        alike.put("thread counts", Arrays.asList(counted.getTotalStartedThreadCount(), counted.getPeakThreadCount()));
        List<Long> collections = new ArrayList<>();
        for (GarbageCollectorMXBean collector : ManagementFactory.getGarbageCollectorMXBeans()) {
            collections.add(collector.getCollectionCount());
        }
        alike.put("collections", collections);
        alike.put("connections", text("/proc/self/net/tcp").split("\n").length);
        alike.put("libraries", libraries());
        alike.put("descriptors", descriptors());
        alike.put("environment", entries(System.getenv()));
        alike.put("properties", new TreeMap<>(texts(System.getProperties())));
        alike.put("arguments", machine.getInputArguments());
        alike.put("classPaths", Arrays.asList(machine.getClassPath(), machine.getLibraryPath(), machine.getName()));
        alike.put("heap", Arrays.asList(heap.getInit(), heap.getMax()));
        alike.put("processors", Runtime.getRuntime().availableProcessors());
        List<Object> pools = new ArrayList<>();
        for (BufferPoolMXBean pool : ManagementFactory.getPlatformMXBeans(BufferPoolMXBean.class)) {
            pools.add(Arrays.asList(pool.getName(), pool.getCount(), pool.getTotalCapacity()));
        }
        alike.put("pools", pools);
        ClassLoader classes = Thread.currentThread().getContextClassLoader();
        alike.put("loaders", Arrays.asList(classes.getClass().getName(), classes.getParent().getClass().getName()));
        alike.put("places", Arrays.asList(Locale.getDefault(), TimeZone.getDefault().getID(), Charset.defaultCharset())
                .stream().map(String::valueOf).collect(Collectors.toList()));
        alike.put("frames", Arrays.stream(new Throwable().getStackTrace()).map(String::valueOf).collect(Collectors.toList()));
        for (String name : new String[] {"limits", "cmdline", "oom_score_adj", "status", "stat", "mounts"}) {
            alike.put(name, text("/proc/self/" + name));
        }
        alike.put("folder", Arrays.asList(new File("own.txt").getAbsolutePath(), text("own.txt"), new File("").list() == null));
        alike.put("others", names("/proc").stream().filter(name -> name.matches("\\d+")).collect(Collectors.toList()));
        alike.put("tmp", names("/tmp"));
        seen.put("started", machine.getStartTime());
        seen.put("uid", Files.getAttribute(Paths.get("/proc/self"), "unix:uid"));
        seen.put("alike", alike);
    }

    @Override
    public Map<String, Object> handleRequest(Map<String, Object> event, Context context) {
        try {
            ProcessBuilder touched = new ProcessBuilder("/usr/bin/env");
            touched.environment().put("ADDED", "yes");
            alike.put("inherited", lines(new ProcessBuilder("/usr/bin/env").start()));
            alike.put("copied", lines(touched.start()));
            alike.put("executed", lines(Runtime.getRuntime().exec(new String[] {"env"})));
            alike.put("given", lines(Runtime.getRuntime().exec(new String[] {"env"}, new String[] {"ONE=1"})));
            alike.put("found", lines(new ProcessBuilder("own-program").start()));
            alike.put("there", lines(new ProcessBuilder("/bin/sh", "-c", "pwd -P; ls; ls /proc/self/fd; ulimit -a").start()));
        } catch (IOException error) {
            alike.put("error", error.toString());
        }
        return seen;
    }

    private static List<String> threads() {
        List<String> names = new ArrayList<>();
        for (Thread thread : Thread.getAllStackTraces().keySet()) {
            names.add(thread.getThreadGroup().getName() + "/" + thread.getName() + (thread.isDaemon() ? " daemon" : ""));
        }
        Collections.sort(names);
        return names;
    }

    private static Map<String, String> texts(Map<?, ?> map) {
        return map.entrySet().stream().collect(Collectors.toMap(e -> (String) e.getKey(), e -> (String) e.getValue()));
    }

    private static List<List<String>> entries(Map<String, String> map) {
        return map.entrySet().stream().map(e -> Arrays.asList(e.getKey(), e.getValue())).collect(Collectors.toList());
    }

    /** But for the compiler's, of which there are as many as have something to compile. */
    private static List<String> tasks() throws IOException {
        List<String> tasks = new ArrayList<>();
        for (String number : names("/proc/self/task")) {
            String name = text("/proc/self/task/" + number + "/comm");
            if (!name.matches("C[12] .*\\s*")) {
                tasks.add(name);
            }
        }
        Collections.sort(tasks);
        return tasks;
    }

    private static TreeSet<String> libraries() throws IOException {
        return Files.readAllLines(Paths.get("/proc/self/maps")).stream()
                .map(line -> line.replaceAll("^(\\S+\\s+){5}", "")).filter(path -> path.startsWith("/"))
                .collect(Collectors.toCollection(TreeSet::new));
    }

    private static List<String> descriptors() throws IOException {
        List<String> found = new ArrayList<>();
        for (String name : names("/proc/self/fd")) {
            Path path = Paths.get("/proc/self/fd", name);
            if (Files.exists(path, java.nio.file.LinkOption.NOFOLLOW_LINKS)) { // not the one that reads the folder
                found.add(name + " " + Files.readSymbolicLink(path).toString().replaceAll("\\d{3,}", "#"));
            }
        }
        return found;
    }

    private static List<String> names(String folder) throws IOException {
        try (Stream<Path> paths = Files.list(Paths.get(folder))) {
            return paths.map(path -> path.getFileName().toString()).sorted().collect(Collectors.toList());
        }
    }

    private static String text(String path) throws IOException {
        return new String(Files.readAllBytes(Paths.get(path)), StandardCharsets.UTF_8);
    }

    private static List<String> lines(java.lang.Process process) throws IOException {
        try (BufferedReader lines = new BufferedReader(
                new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
            return lines.lines().collect(Collectors.toList());
        }
    }
}
