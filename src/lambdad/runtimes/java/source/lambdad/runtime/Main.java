package lambdad.runtime;

import com.amazonaws.services.lambda.runtime.logging.LogLevel;

import java.io.IOError;
import java.io.IOException;
import java.util.Map;

/** The runtime client of the Java runtimes: loads the function and runs it for the Runtime API. */
public final class Main {
    private static final String TRACE_PROPERTY = "com.amazonaws.xray.traceHeader";

    private final RuntimeApi api;
    private final FunctionLogger logger;

    private Main(RuntimeApi api, FunctionLogger logger) {
        this.api = api;
        this.logger = logger;
    }

    /** `arguments[0]` is the folder of the layers. */
    public static void main(String[] arguments) {
        PreBoot.awaitFunction();
        Map<String, String> environment = System.getenv();
        FunctionLogger logger =
                FunctionLogger.open(environment.getOrDefault("_LAMBDA_TELEMETRY_LOG_FD", ""), environment);
        try {
            run(environment.getOrDefault("AWS_LAMBDA_RUNTIME_API", ""), environment.getOrDefault("_HANDLER", ""),
                    environment.getOrDefault("LAMBDA_TASK_ROOT", "/var/task"), arguments[0], logger);
        } catch (RuntimeApi.Closed closed) {
            Runtime.getRuntime().halt(1); // the environment is being taken down, and nobody is to hear of that
        } catch (IOException error) {
            logger.log("lambdad: " + error.getMessage());
        }
        System.exit(1);
    }

    /** Returns when the process has to end. */
    static void run(String address, String handlerName, String taskRoot, String optRoot, FunctionLogger logger)
            throws IOException {
        RuntimeApi api = RuntimeApi.connect(address);
        new Main(api, logger).serve(handlerName, FunctionClasses.open(taskRoot, optRoot));
    }

    private void serve(String handlerName, ClassLoader classes) throws IOException {
        Handler handler;
        try {
            handler = HandlerFinder.find(handlerName, classes);
        } catch (Fault fault) {
            report(fault);
            api.reportInitError(ErrorPayload.of(fault), Fault.HEADER_TYPE);
            return;
        }
        boolean isUsable = true;
        while (isUsable) {
            isUsable = handle(handler, api.next());
        }
    }

    /** False when no further invocation may be run in this process. */
    private boolean handle(Handler handler, Invocation invocation) throws IOException {
        setTrace(invocation.header("lambda-runtime-trace-id"));
        Body body;
        try {
            InvocationContext context = new InvocationContext(invocation, logger);
            logger.setContext(context);
            LoggingLibraries.tell(context.getAwsRequestId());
            body = handler.run(invocation.event(), context);
        } catch (Fault fault) {
            report(fault);
            api.reportError(invocation.requestId(), ErrorPayload.of(fault), Fault.HEADER_TYPE);
            return true;
        } catch (Throwable thrown) { // whatever it is, the invoker hears of it
            return answerThrown(invocation, thrown);
        } finally {
            Thread.interrupted(); // the function may have left this set
        }
        FunctionLogger.flush();
        api.respond(invocation.requestId(), body);
        return true;
    }

    private boolean answerThrown(Invocation invocation, Throwable thrown) throws IOException {
        byte[] payload;
        try {
            StackTraces.trim(thrown);
            report(StackTraces.block(thrown));
            payload = ErrorPayload.of(thrown);
        } catch (Throwable worse) { // an exception whose own methods throw, or no memory to describe it
            payload = ErrorPayload.bare(thrown);
        }
        if (payload.length > RuntimeApi.MAX_RESPONSE_BYTES) {
            payload = ErrorPayload.bare(thrown);
        }
        if (thrown instanceof VirtualMachineError || thrown instanceof IOError) { // nobody knows what state it has left
            api.reportLastError(invocation.requestId(), payload, "Runtime.UserException");
            return false;
        }
        api.reportError(invocation.requestId(), payload, "Runtime.UserException");
        return true;
    }

    private void report(Fault fault) {
        report(fault.block());
    }

    private void report(String block) {
        FunctionLogger.flush();
        logger.log(block, logger.isJson() ? LogLevel.ERROR : LogLevel.UNDEFINED);
    }

    private static void setTrace(String traceId) {
        if (traceId == null) {
            System.clearProperty(TRACE_PROPERTY);
        } else {
            System.setProperty(TRACE_PROPERTY, traceId);
        }
        OldEnvironment.setTrace(traceId);
    }
}
