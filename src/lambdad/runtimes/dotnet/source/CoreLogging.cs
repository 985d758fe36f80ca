using System;
using System.Reflection;

namespace Lambdad.Runtime
{
    /// <summary>
    /// Has the static LambdaLogger of the function's Amazon.Lambda.Core write to the function's log. AWS's runtimes set its private
    /// fields as well, which therefore stay the same from version to version.
    /// </summary>
    internal static class CoreLogging
    {
        private const string CoreName = "Amazon.Lambda.Core";

        public static void Install(FunctionLog log)
        {
            AppDomain.CurrentDomain.AssemblyLoad += (sender, loaded) =>
            {
                if (loaded.LoadedAssembly.GetName().Name == CoreName)
                {
                    Set(loaded.LoadedAssembly, log);
                }
            };
        }

        private static void Set(Assembly core, FunctionLog log)
        {
            Type logger = core.GetType(CoreName + ".LambdaLogger");
            if (logger == null)
            {
                return;
            }
            Action<string> write = message => log.Write(message, LogLevel.None);
            Action<string, string, object[]> writeWithLevel =
                (level, message, arguments) => log.Write(LogLevels.Of(level, LogLevel.None), null, message, arguments);
            Action<string, Exception, string, object[]> writeException = (level, exception, message, arguments) =>
                log.Write(LogLevels.Of(level, LogLevel.None), exception, message, arguments);
            SetField(logger, "_loggingAction", write);
            SetField(logger, "_loggingWithLevelAction", writeWithLevel);
            SetField(logger, "_loggingWithLevelAndExceptionAction", writeException);
        }

        /// <summary>Older versions have not all of them.</summary>
        private static void SetField(Type logger, string name, Delegate value)
        {
            FieldInfo field = logger.GetField(name, BindingFlags.NonPublic | BindingFlags.Static);
            if (field != null && field.FieldType.IsInstanceOfType(value))
            {
                field.SetValue(null, value);
            }
        }
    }
}
