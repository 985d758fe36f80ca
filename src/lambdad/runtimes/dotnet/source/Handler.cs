using System;
using System.IO;
using System.Reflection;
using System.Threading.Tasks;

namespace Lambdad.Runtime
{
    /// <summary>The function's method, with how it is called and how its result becomes bytes.</summary>
    internal sealed class Handler
    {
        private readonly object instance; // null of a static method
        private readonly MethodInfo method;
        private readonly ISerialization input; // null where the method takes no event
        private readonly bool takesContext;
        private readonly ISerialization output; // null where it returns nothing
        private readonly PropertyInfo taskResult; // null where it returns its result itself

        public Handler(
            object instance,
            MethodInfo method,
            ISerialization input,
            bool takesContext,
            ISerialization output,
            PropertyInfo taskResult)
        {
            this.instance = instance;
            this.method = method;
            this.input = input;
            this.takesContext = takesContext;
            this.output = output;
            this.taskResult = taskResult;
        }

        /// <summary>Empty where the method returns nothing, as on AWS.</summary>
        public MemoryStream Run(Invocation invocation, FunctionLog log)
        {
            object[] arguments = new object[(input == null ? 0 : 1) + (takesContext ? 1 : 0)];
            if (input != null)
            {
                arguments[0] = input.Read(new MemoryStream(invocation.Event, 0, invocation.Event.Length, false, true));
            }
            if (takesContext)
            {
                arguments[arguments.Length - 1] = Context(invocation, log);
            }
            object result = method.Invoke(instance, BindingFlags.DoNotWrapExceptions, null, arguments, null);
            if (result is Task task)
            {
                task.GetAwaiter().GetResult();
                result = taskResult?.GetValue(task);
            }
            MemoryStream body = new MemoryStream();
            output?.Write(result, body);
            return body;
        }

        /// <summary>Apart, since its class is loaded with the function's Amazon.Lambda.Core, which there may be none of.</summary>
        private static object Context(Invocation invocation, FunctionLog log) => new InvocationContext(invocation, log);
    }
}
