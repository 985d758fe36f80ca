package lambdad.runtime;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;

/**
 * The Runtime API as a blocking HTTP/1.1 client on one kept-alive connection.
 *
 * <p>An answer and the question for the next invocation leave in one write, as far as the answer is not so long that it will
 * be refused. Written on plain sockets: the JDK's own clients load hundreds of classes before the first byte leaves.
 */
final class RuntimeApi {
    static final int MAX_RESPONSE_BYTES = 6 * 1024 * 1024 + 100;
    private static final String ROOT = "/2018-06-01/runtime/";
    private static final int CHUNK = 65536;

    /** The environment is being taken down. */
    static final class Closed extends IOException {
        private static final long serialVersionUID = 1;

        Closed() {
            super("the Runtime API closed the connection");
        }
    }

    private static final class Answer {
        final int status;
        final Map<String, String> headers;
        final byte[] body;

        Answer(int status, Map<String, String> headers, byte[] body) {
            this.status = status;
            this.headers = headers;
            this.body = body;
        }
    }

    private final String address;
    private final byte[] nextRequest;
    private Socket socket;
    private InputStream input;
    private OutputStream output;
    private byte[] received = new byte[CHUNK];
    private int begin;
    private int end;
    private boolean hasAsked; // whether the request for the next invocation is already on its way

    private RuntimeApi(String address) {
        this.address = address;
        this.nextRequest = bytes("GET " + ROOT + "invocation/next HTTP/1.1\r\nHost: " + address + "\r\n\r\n");
    }

    static RuntimeApi connect(String address) throws IOException {
        RuntimeApi api = new RuntimeApi(address);
        api.open();
        return api;
    }

    /** Without a connection: `answers` has what it will be answered. */
    static RuntimeApi rehearsed(InputStream answers, OutputStream requests) {
        RuntimeApi api = new RuntimeApi("127.0.0.1:1");
        api.input = answers;
        api.output = requests;
        return api;
    }

    /** Waits, without any limit, for an invocation; the process may be frozen meanwhile. */
    Invocation next() throws IOException {
        if (!hasAsked) {
            write(nextRequest);
        }
        hasAsked = false;
        Answer answer = read();
        if (answer.status != 200) {
            throw new IOException("the Runtime API refused an invocation: " + text(answer));
        }
        return new Invocation(answer.headers, answer.body);
    }

    void respond(String requestId, Body body) throws IOException {
        send("invocation/" + requestId + "/response", body.buffer(), body.length(), "");
    }

    void reportError(String requestId, byte[] payload, String type) throws IOException {
        send("invocation/" + requestId + "/error", payload, payload.length, errorHeader(type));
    }

    /** Without a question for another: the process is about to end, and no invocation may come to it meanwhile. */
    void reportLastError(String requestId, byte[] payload, String type) throws IOException {
        String path = "invocation/" + requestId + "/error";
        write(message(path, payload, payload.length, errorHeader(type), new byte[0]));
        check(read());
    }

    void reportInitError(byte[] payload, String type) throws IOException {
        write(message("init/error", payload, payload.length, errorHeader(type), new byte[0]));
        read();
    }

    void close() throws IOException {
        socket.close();
    }

    private void send(String path, byte[] body, int length, String headers) throws IOException {
        if (length > MAX_RESPONSE_BYTES) {
            sendTooLong(message(path, body, length, headers, new byte[0]));
            return;
        }
        write(message(path, body, length, headers, nextRequest));
        hasAsked = true;
        check(read());
    }

    /** It may be refused before it was read to its end; then what follows on this connection is undefined. */
    private void sendTooLong(byte[] message) throws IOException {
        int sent = 0;
        try {
            while (sent < message.length && input.available() == 0) {
                int size = Math.min(CHUNK, message.length - sent);
                output.write(message, sent, size);
                sent += size;
            }
        } catch (IOException refused) {
            sent = -1; // the answer to what was read is still there to be read
        }
        Answer answer = read();
        check(answer);
        if (sent < message.length || "close".equalsIgnoreCase(answer.headers.get("connection"))) {
            socket.close();
            begin = end = 0;
            open();
        }
    }

    private byte[] message(String path, byte[] body, int length, String headers, byte[] tail) {
        byte[] head = bytes("POST " + ROOT + path + " HTTP/1.1\r\nHost: " + address + "\r\nContent-Length: " + length
                + "\r\nContent-Type: application/json\r\n" + headers + "\r\n");
        byte[] message = new byte[head.length + length + tail.length];
        System.arraycopy(head, 0, message, 0, head.length);
        System.arraycopy(body, 0, message, head.length, length);
        System.arraycopy(tail, 0, message, head.length + length, tail.length);
        return message;
    }

    private void open() throws IOException {
        int colon = address.lastIndexOf(':');
        try {
            socket = new Socket(address.substring(0, Math.max(colon, 0)), Integer.parseInt(address.substring(colon + 1)));
        } catch (IOException | IllegalArgumentException error) {
            throw new IOException("the Runtime API at '" + address + "' cannot be reached: " + error.getMessage(), error);
        }
        socket.setTcpNoDelay(true);
        input = socket.getInputStream();
        output = socket.getOutputStream();
    }

    private void write(byte[] message) throws Closed {
        try {
            output.write(message);
        } catch (IOException reset) {
            throw new Closed();
        }
    }

    private Answer read() throws IOException {
        int stop = endOfHead(begin);
        while (stop < 0) {
            int searched = Math.max(begin, end - 3);
            int moved = begin;
            fill(1);
            stop = endOfHead(searched - (moved - begin));
        }
        String[] lines = new String(received, begin, stop - begin, StandardCharsets.UTF_8).split("\r\n");
        begin = stop + 4;
        Map<String, String> headers = new HashMap<>();
        for (int i = 1; i < lines.length; i++) {
            int colon = lines[i].indexOf(':');
            if (colon > 0) {
                headers.put(lines[i].substring(0, colon).toLowerCase(Locale.ROOT), lines[i].substring(colon + 1).trim());
            }
        }
        int length = Integer.parseInt(headers.getOrDefault("content-length", "0"));
        if (end - begin < length) {
            fill(length - (end - begin));
        }
        byte[] body = Arrays.copyOfRange(received, begin, begin + length);
        begin += length;
        if (received.length > 16 * CHUNK) { // an event of megabytes is no reason to hold as much for ever
            received = Arrays.copyOfRange(received, begin, begin + Math.max(CHUNK, end - begin));
            end -= begin;
            begin = 0;
        }
        return new Answer(Integer.parseInt(lines[0].substring(9, 12)), headers, body); // after "HTTP/1.1 "
    }

    private int endOfHead(int from) {
        for (int i = from; i + 3 < end; i++) {
            if (received[i] == '\r' && received[i + 1] == '\n' && received[i + 2] == '\r' && received[i + 3] == '\n') {
                return i;
            }
        }
        return -1;
    }

    /** Reads at least `missing` bytes more. */
    private void fill(int missing) throws IOException {
        if (begin > 0) {
            System.arraycopy(received, begin, received, 0, end - begin);
            end -= begin;
            begin = 0;
        }
        if (received.length < end + missing) {
            received = Arrays.copyOf(received, Math.max(end + missing, 2 * received.length));
        }
        while (missing > 0) {
            int count = readSome();
            end += count;
            missing -= count;
        }
    }

    private int readSome() throws IOException {
        int count;
        try {
            count = input.read(received, end, received.length - end);
        } catch (IOException reset) {
            throw new Closed();
        }
        if (count < 0) {
            throw new Closed();
        }
        return count;
    }

    /** 413 has been told to the invoker already, and the environment goes on; whatever else is refused must not be lost. */
    private static void check(Answer answer) throws IOException {
        if ((answer.status < 200 || answer.status > 299) && answer.status != 413) {
            throw new IOException("the Runtime API refused an answer: " + text(answer));
        }
    }

    private static String errorHeader(String type) {
        return "Lambda-Runtime-Function-Error-Type: " + type + "\r\n";
    }

    private static String text(Answer answer) {
        return answer.status + " " + new String(answer.body, 0, Math.min(500, answer.body.length), StandardCharsets.UTF_8);
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.US_ASCII);
    }
}
