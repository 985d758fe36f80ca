package lambdad.runtime;

import java.io.File;
import java.net.MalformedURLException;
import java.net.URL;
import java.net.URLClassLoader;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Where the function's classes are: its package, the jars in the package's `lib`, and those in `java/lib` of its layers.
 *
 * <p>The client's own loader is asked first, so that `RequestHandler` and the others are one class for both, whatever copy of
 * aws-lambda-java-core the package brings along.
 */
final class FunctionClasses {
    private FunctionClasses() {}

    /** Also what `Thread.getContextClassLoader` answers from now on. */
    static ClassLoader open(String taskRoot, String optRoot) {
        List<URL> places = new ArrayList<>();
        places.add(url(taskRoot + "/"));
        addJars(places, new File(taskRoot, "lib"));
        addJars(places, new File(optRoot, "java/lib"));
        ClassLoader loader = new URLClassLoader(places.toArray(new URL[0]), FunctionClasses.class.getClassLoader());
        Thread.currentThread().setContextClassLoader(loader);
        return loader;
    }

    /** In the order of their names, as on AWS: the first jar that has a class wins. */
    private static void addJars(List<URL> places, File folder) {
        String[] names = folder.list();
        if (names == null) {
            return;
        }
        Arrays.sort(names);
        for (String name : names) {
            if (name.endsWith(".jar")) {
                places.add(url(folder.getPath() + "/" + name));
            }
        }
    }

    /** A folder ends in a slash. Letters that mean something in a URL mean nothing in a file's name. */
    private static URL url(String path) {
        try {
            return new URL("file", null, -1, path.replace("%", "%25").replace("#", "%23").replace("?", "%3F"));
        } catch (MalformedURLException impossible) {
            throw new IllegalStateException(impossible);
        }
    }
}
