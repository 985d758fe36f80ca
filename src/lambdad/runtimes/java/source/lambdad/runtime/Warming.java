package lambdad.runtime;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.FilePermission;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.util.Map;

/**
 * Serves an event to a function of its own, so that whatever the virtual machine does once for that is done already.
 *
 * <p>A function finds no trace of it: no thread was started, nobody asked for a variable, and no connection is left.
 */
final class Warming {
    private static final String EVENT = "{\"name\":\"a\",\"sizes\":[1,2.5,true,null]}";

    /** The function. */
    public static final class Echo implements RequestHandler<Map<String, Object>, Object> {
        @Override
        public Object handleRequest(Map<String, Object> event, Context context) {
            return event;
        }
    }

    private Warming() {}

    static void run() throws Throwable {
        Thread thread = Thread.currentThread();
        ClassLoader classes = thread.getContextClassLoader();
        permit();
        // First, since descriptors that stay open are to have the numbers that they would have: after one connection.
        try (ServerSocket listener = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            RuntimeApi.connect("127.0.0.1:" + listener.getLocalPort()).close();
            serve(HandlerFinder.find(Echo.class.getName(), FunctionClasses.open("/var/task", "/opt")));
        } finally {
            thread.setContextClassLoader(classes);
        }
    }

    /** Classes are given the permission to read where they come from, and for the first Java reads its settings of security. */
    private static void permit() {
        FilePermission permission = new FilePermission("/var/task/-", "read");
        permission.newPermissionCollection().add(permission);
    }

    /** Nothing goes over the connection: some releases of Java keep a buffer that it went through, which could be seen. */
    private static void serve(Handler handler) throws Throwable {
        byte[] answers = (answer("200 OK", EVENT) + answer("202 Accepted", "")).getBytes(StandardCharsets.UTF_8);
        RuntimeApi api = RuntimeApi.rehearsed(new ByteArrayInputStream(answers), new ByteArrayOutputStream());
        Invocation invocation = api.next();
        Body body = handler.run(invocation.event(), null);
        api.respond(invocation.requestId(), body);
    }

    private static String answer(String status, String body) {
        return "HTTP/1.1 " + status + "\r\nContent-Length: " + body.length()
                + "\r\nLambda-Runtime-Aws-Request-Id: id\r\nLambda-Runtime-Deadline-Ms: 1\r\n\r\n" + body;
    }
}
