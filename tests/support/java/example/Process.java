package example;

import com.amazonaws.services.lambda.runtime.Client;
import com.amazonaws.services.lambda.runtime.ClientContext;
import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.LambdaRuntime;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import com.amazonaws.services.lambda.runtime.logging.LogLevel;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** One handler that does to its process whatever the event says. */
public class Process implements RequestHandler<Map<String, Object>, Object> {
    private static int calls;

    @Override
    public Object handleRequest(Map<String, Object> event, Context context) {
        calls++;
        switch (String.valueOf(event.get("do"))) {
            case "calls":
                return calls;
            case "context":
                return describe(context);
            case "log":
                return log(context);
            case "large":
                char[] letters = new char[(Integer) event.get("size")];
                Arrays.fill(letters, 'x');
                return new String(letters);
            case "stack":
                return deeper(1);
            case "memory":
                List<Object> held = new ArrayList<>();
                while (true) {
                    held.add(new long[1 << 16]);
                }
            case "exit":
                System.exit((Integer) event.get("status"));
                return null;
            case "interrupt":
                Thread.currentThread().interrupt();
                return "interrupted";
            case "isInterrupted":
                return Thread.currentThread().isInterrupted();
            case "mute":
                System.setOut(null);
                return null;
            case "sleep":
                sleep(60_000);
                return null;
            case "letters":
                return letters();
            case "surroundings":
                return surroundings();
            case "hostile":
                throw new Hostile();
            case "circularCause":
                Exception one = new IllegalStateException("one");
                one.initCause(new IllegalStateException("two", one));
                throw (RuntimeException) one;
            case "loader":
                return Arrays.asList(RequestHandler.class.getClassLoader() == getClass().getClassLoader(),
                        Thread.currentThread().getContextClassLoader() == getClass().getClassLoader());
            default:
                throw new IllegalArgumentException("what is " + event.get("do") + "?");
        }
    }

    private static void sleep(long milliseconds) {
        try {
            Thread.sleep(milliseconds);
        } catch (InterruptedException interrupted) {
            throw new IllegalStateException(interrupted);
        }
    }

    private static Object surroundings() {
        Map<String, Object> found = new LinkedHashMap<>();
        found.put("environment", System.getenv());
        found.put("temporary", new File("/tmp").list());
        found.put("folder", System.getProperty("user.dir"));
        found.put("heap", Runtime.getRuntime().maxMemory());
        found.put("machine", System.getProperty("java.vm.info"));
        found.put("wrapped", System.getProperty("wrapped"));
        return found;
    }

    private static Object letters() {
        File file = new File("/tmp/letters", System.getenv("WORD"));
        file.getParentFile().mkdir();
        try {
            Files.write(file.toPath(), new byte[0]);
        } catch (IOException refused) {
            throw new IllegalStateException(refused);
        }
        return Arrays.asList(System.getenv("WORD"), file.getParentFile().list()[0]);
    }

    private static int deeper(int depth) {
        return deeper(depth + 1) + 1;
    }

    private static Object log(Context context) {
        System.out.println("printed \u3053");
        context.getLogger().log("two\nlines");
        context.getLogger().log("a warning", LogLevel.WARN);
        context.getLogger().log("a detail", LogLevel.DEBUG);
        context.getLogger().log("bytes".getBytes());
        LambdaRuntime.getLogger().log("by the runtime");
        StringBuilder text = new StringBuilder("long ");
        for (int i = 0; i < 2000; i++) {
            text.append("12345");
        }
        context.getLogger().log(text.toString());
        System.err.print("no line end");
        return null;
    }

    private static Object describe(Context context) {
        Map<String, Object> told = new LinkedHashMap<>();
        told.put("request", context.getAwsRequestId());
        told.put("group", context.getLogGroupName());
        told.put("stream", context.getLogStreamName());
        told.put("function", context.getFunctionName());
        told.put("version", context.getFunctionVersion());
        told.put("arn", context.getInvokedFunctionArn());
        told.put("memory", context.getMemoryLimitInMB());
        told.put("remaining", context.getRemainingTimeInMillis());
        told.put("tenant", context.getTenantId());
        told.put("trace", context.getXrayTraceId());
        told.put("traceProperty", System.getProperty("com.amazonaws.xray.traceHeader"));
        told.put("traceVariable", System.getenv("_X_AMZN_TRACE_ID"));
        if (context.getIdentity() != null) {
            told.put("identity", Arrays.asList(context.getIdentity().getIdentityId(), context.getIdentity().getIdentityPoolId()));
        }
        ClientContext client = context.getClientContext();
        if (client != null) {
            told.put("custom", client.getCustom());
            told.put("environment", client.getEnvironment());
            Client app = client.getClient();
            told.put("client", app == null ? null : Arrays.asList(app.getInstallationId(), app.getAppTitle(),
                    app.getAppVersionName(), app.getAppVersionCode(), app.getAppPackageName()));
        }
        return told;
    }

    private static final class Hostile extends RuntimeException {
        @Override
        public String getLocalizedMessage() {
            throw new IllegalStateException("no message");
        }
    }
}
