package lambdad.runtime;

import com.amazonaws.services.lambda.runtime.Client;
import com.amazonaws.services.lambda.runtime.ClientContext;
import com.amazonaws.services.lambda.runtime.CognitoIdentity;
import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.LambdaLogger;

import lambdad.runtime.json.JsonReader;

import java.util.LinkedHashMap;
import java.util.Map;

/** What a handler is told of its invocation. */
final class InvocationContext implements Context {
    private static final String FUNCTION_NAME = System.getenv("AWS_LAMBDA_FUNCTION_NAME");
    private static final String FUNCTION_VERSION = System.getenv("AWS_LAMBDA_FUNCTION_VERSION");
    private static final String LOG_GROUP = System.getenv("AWS_LAMBDA_LOG_GROUP_NAME");
    private static final String LOG_STREAM = System.getenv("AWS_LAMBDA_LOG_STREAM_NAME");
    private static final int MEMORY_MB = memory(System.getenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"));

    private final Invocation invocation;
    private final LambdaLogger logger;
    private final long deadline;
    private final CognitoIdentity identity;
    private final ClientContext client;

    InvocationContext(Invocation invocation, LambdaLogger logger) {
        this.invocation = invocation;
        this.logger = logger;
        this.deadline = Long.parseLong(invocation.header("lambda-runtime-deadline-ms"));
        this.identity = identity(invocation.header("lambda-runtime-cognito-identity"));
        this.client = client(invocation.header("lambda-runtime-client-context"));
    }

    @Override
    public String getAwsRequestId() {
        return invocation.requestId();
    }

    @Override
    public String getLogGroupName() {
        return LOG_GROUP;
    }

    @Override
    public String getLogStreamName() {
        return LOG_STREAM;
    }

    @Override
    public String getFunctionName() {
        return FUNCTION_NAME;
    }

    @Override
    public String getFunctionVersion() {
        return FUNCTION_VERSION;
    }

    @Override
    public String getInvokedFunctionArn() {
        return invocation.header("lambda-runtime-invoked-function-arn");
    }

    @Override
    public CognitoIdentity getIdentity() {
        return identity;
    }

    @Override
    public ClientContext getClientContext() {
        return client;
    }

    @Override
    public int getRemainingTimeInMillis() {
        return (int) (deadline - System.currentTimeMillis());
    }

    @Override
    public int getMemoryLimitInMB() {
        return MEMORY_MB;
    }

    @Override
    public LambdaLogger getLogger() {
        return logger;
    }

    @Override
    public String getTenantId() {
        return invocation.header("lambda-runtime-aws-tenant-id");
    }

    @Override
    public String getXrayTraceId() {
        return invocation.header("lambda-runtime-trace-id");
    }

    private static int memory(String megabytes) {
        return megabytes == null ? 0 : Integer.parseInt(megabytes);
    }

    private static CognitoIdentity identity(String header) {
        Map<?, ?> told = object(header);
        return told == null ? null : new Identity(text(told, "cognitoIdentityId"), text(told, "cognitoIdentityPoolId"));
    }

    private static ClientContext client(String header) {
        Map<?, ?> told = object(header);
        return told == null ? null : new ClientInformation(told);
    }

    /** Null when it is not a JSON object: the invoker may have sent whatever it liked. */
    private static Map<?, ?> object(String header) {
        if (header == null || header.isEmpty()) {
            return null;
        }
        Object told = JsonReader.read(header);
        return told instanceof Map ? (Map<?, ?>) told : null;
    }

    private static String text(Map<?, ?> told, String name) {
        Object value = told.get(name);
        return value == null ? null : value.toString();
    }

    private static final class Identity implements CognitoIdentity {
        private final String identityId;
        private final String poolId;

        Identity(String identityId, String poolId) {
            this.identityId = identityId;
            this.poolId = poolId;
        }

        @Override
        public String getIdentityId() {
            return identityId;
        }

        @Override
        public String getIdentityPoolId() {
            return poolId;
        }
    }

    private static final class ClientInformation implements ClientContext, Client {
        private final Map<?, ?> client;
        private final Map<String, String> custom;
        private final Map<String, String> environment;

        ClientInformation(Map<?, ?> told) {
            client = told.get("client") instanceof Map ? (Map<?, ?>) told.get("client") : null;
            custom = texts(told.get("custom"));
            environment = texts(told.get("env"));
        }

        private static Map<String, String> texts(Object told) {
            if (!(told instanceof Map)) {
                return null;
            }
            Map<String, String> texts = new LinkedHashMap<>();
            for (Map.Entry<?, ?> entry : ((Map<?, ?>) told).entrySet()) {
                Object value = entry.getValue();
                texts.put(entry.getKey().toString(), value == null ? null : value.toString());
            }
            return texts;
        }

        @Override
        public Client getClient() {
            return client == null ? null : this;
        }

        @Override
        public Map<String, String> getCustom() {
            return custom;
        }

        @Override
        public Map<String, String> getEnvironment() {
            return environment;
        }

        @Override
        public String getInstallationId() {
            return text(client, "installation_id");
        }

        @Override
        public String getAppTitle() {
            return text(client, "app_title");
        }

        @Override
        public String getAppVersionName() {
            return text(client, "app_version_name");
        }

        @Override
        public String getAppVersionCode() {
            return text(client, "app_version_code");
        }

        @Override
        public String getAppPackageName() {
            return text(client, "app_package_name");
        }
    }
}
