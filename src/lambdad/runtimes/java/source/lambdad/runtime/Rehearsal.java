package lambdad.runtime;

import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;

/**
 * Runs the client once from end to end, against a Runtime API of its own, so that the virtual machine can write down which
 * classes a start loads. Run once for each runtime, in an empty folder, never with a function.
 */
public final class Rehearsal {
    private static final String[] EVENTS = {"{\"name\":\"a\",\"sizes\":[1,2.5]}", "{\"name\":\"fails\"}"};

    private static final String[] CLASSES = {"Function", "Function$Order"};

    private static volatile String answers = "";
    private static String asked = ""; // what the client has sent since the last event

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
        File classes = new File("rehearsed");
        if (!classes.mkdir()) {
            throw new IOException("the working folder is not empty");
        }
        for (String name : CLASSES) {
            copy("/rehearsed/" + name + ".rehearsal", new File(classes, name + ".class"));
        }
        String root = new File("").getAbsolutePath();
        PreBoot.rehearse();
        FunctionLogger logger = FunctionLogger.open("1", System.getenv());
        try {
            Main.run("127.0.0.1:" + listener.getLocalPort(), "rehearsed.Function", root, "/opt", logger);
        } catch (RuntimeApi.Closed ended) {
            if (!answers.equals("response error ")) {
                throw new IllegalStateException("the client answered " + answers);
            }
            return;
        }
        throw new IllegalStateException("the client ended by itself");
    }

    private static void copy(String resource, File file) throws IOException {
        try (InputStream input = Rehearsal.class.getResourceAsStream(resource);
                OutputStream output = new FileOutputStream(file)) {
            byte[] bytes = new byte[65536];
            for (int count = input.read(bytes); count >= 0; count = input.read(bytes)) {
                output.write(bytes, 0, count);
            }
        }
    }

    /** Hands out the events, each when the client asks for it, and hangs up. */
    private static void serve(ServerSocket listener) {
        try (Socket connection = listener.accept()) {
            readUntilAsked(connection.getInputStream());
            for (String event : EVENTS) {
                asked = "";
                send(connection.getOutputStream(), "200 OK", event);
                readUntilAsked(connection.getInputStream()); // an answer comes together with the question for the next event
                answers += asked.contains("/response HTTP") ? "response " : "error ";
                send(connection.getOutputStream(), "202 Accepted", "{\"status\":\"OK\"}");
            }
        } catch (IOException error) {
            throw new IllegalStateException(error);
        }
    }

    private static void readUntilAsked(InputStream input) throws IOException {
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
}
