package lambdad.runtime;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;

import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
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
        // First, since descriptors that stay open are to have the numbers that they would have: after one connection.
        try (ServerSocket listener = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            serve(HandlerFinder.find(Echo.class.getName(), FunctionClasses.open("/var/task", "/opt")), listener);
        } finally {
            thread.setContextClassLoader(classes);
        }
    }

    private static void serve(Handler handler, ServerSocket listener) throws Throwable {
        RuntimeApi api = RuntimeApi.connect("127.0.0.1:" + listener.getLocalPort());
        try (Socket peer = listener.accept()) {
            peer.setSoLinger(true, 0); // the kernel is to forget it at once
            answer(peer.getOutputStream(), "200 OK", EVENT);
            Invocation invocation = api.next();
            Body body = handler.run(invocation.event(), null);
            answer(peer.getOutputStream(), "202 Accepted", "");
            api.respond(invocation.requestId(), body);
        } finally {
            api.close();
        }
    }

    private static void answer(OutputStream output, String status, String body) throws Throwable {
        String head = "HTTP/1.1 " + status + "\r\nContent-Length: " + body.length()
                + "\r\nLambda-Runtime-Aws-Request-Id: id\r\nLambda-Runtime-Deadline-Ms: 1\r\n\r\n";
        output.write((head + body).getBytes(StandardCharsets.UTF_8));
    }
}
