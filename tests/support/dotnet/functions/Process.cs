using System;
using System.Collections;
using System.Collections.Generic;
using System.Diagnostics;
using System.Globalization;
using System.IO;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using System.Threading;
using System.Threading.Tasks;
using Amazon.Lambda.Core;
using Example.Json;
using Microsoft.Win32.SafeHandles;

namespace Example
{
    /// <summary>Does what its event says: the name of a method of it, and what that is to be given.</summary>
    public class Process
    {
        private int calls;

        [LambdaSerializer(typeof(JsonSerializer))]
        public object Handle(Dictionary<string, object> input, ILambdaContext context)
        {
            calls++;
            switch (input["do"])
            {
                case "calls":
                    return calls;
                case "log":
                    return Log(context);
                case "levels":
                    return Levels(context);
                case "many":
                    return Many(context);
                case "context":
                    return Context(context);
                case "surroundings":
                    return Surroundings();
                case "open-files":
                    return OpenFiles();
                case "hash":
                    return Hash();
                case "close":
                    new FileStream(new SafeFileHandle((IntPtr)1, true), FileAccess.Write).Dispose();
                    return null;
                case "loaded":
                    return Array.Exists(AppDomain.CurrentDomain.GetAssemblies(), one => one.GetName().Name == "System.Net.Http");
                case "month":
                    return new CultureInfo("de-DE").DateTimeFormat.GetMonthName(3);
                case "throw":
                    return Throw();
                case "causes":
                    throw new InvalidOperationException("outer", new ArgumentException("inner", new TimeoutException("innermost")));
                case "aggregate":
                    throw new AggregateException("several", new TimeoutException("one"), new ArgumentException("two"));
                case "hostile":
                    throw new HostileException();
                case "never-thrown":
                    return Task.FromException<object>(new TimeoutException("never thrown")).GetAwaiter().GetResult();
                case "exit":
                    Environment.Exit(Convert.ToInt32(input["status"]));
                    return null;
                case "thread":
                    new Thread(() => throw new TimeoutException("of a thread")).Start();
                    Thread.Sleep(Timeout.Infinite);
                    return null;
                case "sleep":
                    Thread.Sleep(Timeout.Infinite);
                    return null;
                case "memory":
                    return Fill();
                case "replace":
                    return Replace(Convert.ToInt32(input["megabytes"]));
                case "garbage":
                    return Garbage();
                case "large":
                    return new string('x', Convert.ToInt32(input["size"]));
                default:
                    throw new ArgumentException("what is " + input["do"] + "?");
            }
        }

        private static object Log(ILambdaContext context)
        {
            context.Logger.LogLine("two\nlines");
            LambdaLogger.Log("static \u3053");
            Console.WriteLine("of the console");
            Console.Error.WriteLine("of its other half");
            context.Logger.LogLine(new string('y', 10000));
            return null;
        }

        private static object Levels(ILambdaContext context)
        {
            foreach (string level in new[] { "Trace", "Debug", "Information", "Warning", "Error", "Critical" })
            {
                context.Logger.Log(level, "at " + level);
            }
            context.Logger.Log("Warning", "Bought {count:000} of {product}, {{not}} {more}", 7, "tea \"x\"");
            context.Logger.Log("Error", new InvalidOperationException("attached"), "with {0} and {1}, {0}", 1.5, new[] { 1, 2 });
            LambdaLogger.Log("Information", "static {where}", "here");
            return null;
        }

        private static object Many(ILambdaContext context)
        {
            Thread[] threads = new Thread[8];
            for (int i = 0; i < threads.Length; i++)
            {
                string text = new string((char)('a' + i), 6000);
                threads[i] = new Thread(() =>
                {
                    for (int n = 0; n < 50; n++)
                    {
                        context.Logger.LogLine(text);
                    }
                });
                threads[i].Start();
            }
            foreach (Thread thread in threads)
            {
                thread.Join();
            }
            return null;
        }

        private static object Context(ILambdaContext context) => new Dictionary<string, object>
        {
            { "function", context.FunctionName },
            { "arn", context.InvokedFunctionArn },
            { "memory", context.MemoryLimitInMB },
            { "remaining", context.RemainingTime.TotalMilliseconds },
            { "trace", context.TraceId },
            { "tenant", context.TenantId },
            { "identity", context.Identity.IdentityId },
            { "client", context.ClientContext.Client?.AppTitle },
            { "custom", context.ClientContext.Custom },
            { "environment", context.ClientContext.Environment },
        };

        private static object Surroundings()
        {
            Dictionary<string, object> variables = new Dictionary<string, object>();
            foreach (DictionaryEntry variable in Environment.GetEnvironmentVariables())
            {
                variables[(string)variable.Key] = (string)variable.Value;
            }
            return new Dictionary<string, object>
            {
                { "environment", variables },
                { "folder", Directory.GetCurrentDirectory() },
                { "temporary", Directory.GetFileSystemEntries(Path.GetTempPath()) },
                { "framework", RuntimeInformation.FrameworkDescription },
                { "arguments", Environment.GetCommandLineArgs() },
            };
        }

        /// <summary>Those of a program that the function starts.</summary>
        private static object OpenFiles()
        {
            ProcessStartInfo listing = new ProcessStartInfo("/bin/ls", "-l /proc/self/fd") { RedirectStandardOutput = true };
            using (System.Diagnostics.Process started = System.Diagnostics.Process.Start(listing))
            {
                return started.StandardOutput.ReadToEnd();
            }
        }

        private static object Hash()
        {
            using (HMACSHA256 hash = new HMACSHA256(Encoding.UTF8.GetBytes("key")))
            {
                return BitConverter.ToString(hash.ComputeHash(Encoding.UTF8.GetBytes("text"))).Replace("-", "").ToLowerInvariant();
            }
        }

        /// <summary>Nobody calls it, so that what it needs is loaded only where all is compiled ahead.</summary>
        private static object Unused() => new System.Net.Http.HttpClient();

        private static object Throw()
        {
            Func<object> inner = () => throw new TimeoutException("too \"late\"\n\u3053");
            return inner();
        }

        private static object Fill()
        {
            List<byte[]> all = new List<byte[]>();
            while (true)
            {
                byte[] more = new byte[1 << 20];
                for (int i = 0; i < more.Length; i += 4096)
                {
                    more[i] = 1;
                }
                all.Add(more);
            }
        }

        /// <summary>Keeps so many megabytes, and replaces each ten times.</summary>
        private static object Replace(int megabytes)
        {
            byte[][] kept = new byte[megabytes][];
            for (int i = 0; i < 10 * megabytes; i++)
            {
                byte[] more = new byte[1 << 20];
                for (int at = 0; at < more.Length; at += 4096)
                {
                    more[at] = 1;
                }
                kept[i % megabytes] = more;
            }
            return 10 * megabytes;
        }

        /// <summary>Two gigabytes, none of it needed for long.</summary>
        private static object Garbage()
        {
            long total = 0;
            for (int i = 0; i < 2000000; i++)
            {
                total += new byte[1000].Length;
            }
            return total;
        }
    }

    public sealed class HostileException : Exception
    {
        public override string Message => throw new InvalidOperationException("no message");

        public override string StackTrace => throw new InvalidOperationException("no trace");

        public override string ToString() => throw new InvalidOperationException("no text");
    }
}
