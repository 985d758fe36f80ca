using System;
using Amazon.Lambda.Core;

namespace Lambdad.Runtime
{
    /// <summary>
    /// What a handler is told of its invocation.
    ///
    /// Public members that the interface compiled against lacks are those of its later versions: the runtime finds them by name.
    /// </summary>
    internal class InvocationContext : ILambdaContext
    {
        private const long UnixEpochTicks = 621355968000000000;

        private readonly Invocation invocation;
        private readonly long deadlineMilliseconds;

        public InvocationContext(Invocation invocation, FunctionLog log)
        {
            this.invocation = invocation;
            deadlineMilliseconds = Ascii.LongNumber(invocation.Header("lambda-runtime-deadline-ms"));
            Logger = new ContextLogger(log);
            Identity = new CallerIdentity(JsonReader.Object(invocation.Header("lambda-runtime-cognito-identity")));
            ClientContext = new CallerContext(JsonReader.Object(invocation.Header("lambda-runtime-client-context")));
        }

        public string AwsRequestId => invocation.RequestId;

        public IClientContext ClientContext { get; }

        public string FunctionName => Variable("AWS_LAMBDA_FUNCTION_NAME");

        public string FunctionVersion => Variable("AWS_LAMBDA_FUNCTION_VERSION");

        public ICognitoIdentity Identity { get; }

        public string InvokedFunctionArn => invocation.Header("lambda-runtime-invoked-function-arn");

        public ILambdaLogger Logger { get; }

        public string LogGroupName => Variable("AWS_LAMBDA_LOG_GROUP_NAME");

        public string LogStreamName => Variable("AWS_LAMBDA_LOG_STREAM_NAME");

        public int MemoryLimitInMB => Ascii.Number(Variable("AWS_LAMBDA_FUNCTION_MEMORY_SIZE") ?? "");

        public TimeSpan RemainingTime => new TimeSpan(
            deadlineMilliseconds * TimeSpan.TicksPerMillisecond + UnixEpochTicks - DateTime.UtcNow.Ticks);

        public virtual string TenantId => invocation.TenantId;

        public virtual string TraceId => invocation.Header("lambda-runtime-trace-id");

        private static string Variable(string name) => Environment.GetEnvironmentVariable(name);
    }
}
