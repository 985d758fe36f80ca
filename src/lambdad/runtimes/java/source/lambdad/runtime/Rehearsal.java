package lambdad.runtime;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Runs the client once from end to end, against a Runtime API of its own, so that the virtual machine can write down which
 * classes a start loads. Run when a runtime is installed, never with a function.
 */
public final class Rehearsal {
    private static final String[] EVENTS = {"{\"name\":\"a\",\"sizes\":[1,2.5]}", "{\"name\":\"fails\"}"};

    private Rehearsal() {}

    public static void main(String[] arguments) throws IOException {
        final ServerSocket listener = new ServerSocket(0, 1, InetAddress.getLoopbackAddress());
        Thread api = new Thread(new Runnable() {
            @Override
            public void run() {
                serve(listener);
            }
        });
        api.setDaemon(true);
        api.start();
        FunctionLogger logger = FunctionLogger.open("1", System.getenv());
        try {
            Main.run("127.0.0.1:" + listener.getLocalPort(), Sample.class.getName(), "/opt", logger);
        } catch (RuntimeApi.Closed ended) {
            return; // when all events were handed out
        }
        throw new IllegalStateException("the client ended by itself");
    }

    /** Hands out the events, each when the client asks for it, and hangs up. */
    private static void serve(ServerSocket listener) {
        try (Socket connection = listener.accept()) {
            for (String event : EVENTS) {
                readUntilAsked(connection.getInputStream());
                send(connection.getOutputStream(), "200 OK", event);
                awaitAnswer(connection.getInputStream());
                send(connection.getOutputStream(), "202 Accepted", "{\"status\":\"OK\"}");
            }
        } catch (IOException error) {
            throw new IllegalStateException(error);
        }
    }

    private static String asked = "";

    private static void readUntilAsked(InputStream input) throws IOException {
        while (!asked.contains("invocation/next")) {
            read(input);
        }
        asked = "";
    }

    /** An answer comes together with the question for the next event. */
    private static void awaitAnswer(InputStream input) throws IOException {
        while (!asked.contains("invocation/next")) {
            read(input);
        }
    }

    private static void read(InputStream input) throws IOException {
        byte[] bytes = new byte[65536];
        int count = input.read(bytes);
        if (count < 0) {
            throw new IOException("the client hung up");
        }
        asked += new String(bytes, 0, count, StandardCharsets.UTF_8);
    }

    private static void send(OutputStream output, String status, String body) throws IOException {
        String head = "HTTP/1.1 " + status + "\r\nContent-Length: " + body.length() + "\r\nLambda-Runtime-Deadline-Ms: 1\r\n"
                + "Lambda-Runtime-Aws-Request-Id: id\r\nLambda-Runtime-Trace-Id: trace\r\n\r\n";
        output.write((head + body).getBytes(StandardCharsets.UTF_8));
    }

    /** What functions commonly use of the client. */
    public static final class Sample implements RequestHandler<Sample.Order, Map<String, Object>> {
        @Override
        public Map<String, Object> handleRequest(Order order, Context context) {
            context.getLogger().log(order.getName());
            System.out.println(context.getRemainingTimeInMillis());
            if (order.getName().equals("fails")) {
                throw new IllegalStateException("rehearsed");
            }
            Map<String, Object> result = new LinkedHashMap<>();
            result.put("order", order);
            result.put("id", context.getAwsRequestId());
            return result;
        }

        public static final class Order {
            private String name;
            private List<Double> sizes;

            public String getName() {
                return name;
            }

            public void setName(String name) {
                this.name = name;
            }

            public List<Double> getSizes() {
                return sizes;
            }

            public void setSizes(List<Double> sizes) {
                this.sizes = sizes;
            }
        }
    }
}
