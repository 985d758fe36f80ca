using System;
using System.IO;
using System.Reflection;

[assembly: AssemblyTitle("The runtime client of lambdad's .NET runtimes")]
[assembly: AssemblyVersion("1.0.0.0")]

namespace Lambdad.Runtime
{
    /// <summary>The runtime client of the .NET runtimes: loads the function and runs it for the Runtime API.</summary>
    internal sealed class Client
    {
        private const string TraceVariable = "_X_AMZN_TRACE_ID";

        private readonly RuntimeApi api;
        private readonly FunctionLog log;

        private Client(RuntimeApi api, FunctionLog log)
        {
            this.api = api;
            this.log = log;
        }

        /// <summary>`arguments[0]` is the identifier of the runtime.</summary>
        public static int Main(string[] arguments)
        {
            RuntimeName.Set(arguments[0]);
            FunctionLog log = FunctionLog.Open();
            try
            {
                RuntimeApi api = RuntimeApi.Connect(Environment.GetEnvironmentVariable("AWS_LAMBDA_RUNTIME_API") ?? "");
                new Client(api, log).Serve(Environment.GetEnvironmentVariable("_HANDLER") ?? "");
            }
            catch (RuntimeApi.ClosedException)
            {
                return 1; // the environment is being taken down, and nobody is to hear of that
            }
            catch (RuntimeApi.RefusedException refused)
            {
                log.Write("lambdad: " + refused.Message, LogLevel.None);
            }
            return 1;
        }

        /// <summary>Returns when the process has to end.</summary>
        private void Serve(string handlerName)
        {
            Handler handler;
            try
            {
                handler = HandlerFinder.Find(handlerName, log);
            }
            catch (Exception thrown)
            {
                log.WriteException(thrown);
                api.ReportInitError(ErrorPayload.Of(thrown), ErrorPayload.TypeOf(thrown));
                return;
            }
            while (true)
            {
                Handle(handler, api.Next());
            }
        }

        private void Handle(Handler handler, Invocation invocation)
        {
            Environment.SetEnvironmentVariable(TraceVariable, invocation.Header("lambda-runtime-trace-id"));
            log.Invocation = invocation;
            MemoryStream output;
            try
            {
                output = handler.Run(invocation, log);
            }
            catch (Exception thrown) // whatever it is, the invoker hears of it
            {
                log.WriteException(thrown);
                api.ReportError(
                    invocation.RequestId, ErrorPayload.Of(thrown), ErrorPayload.TypeOf(thrown), XRayCause.Of(thrown));
                return;
            }
            api.Respond(invocation.RequestId, output);
        }
    }
}
