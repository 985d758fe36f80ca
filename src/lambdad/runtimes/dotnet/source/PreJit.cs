using System;
using System.Collections.Generic;
using System.IO;
using System.Reflection;
using System.Runtime.CompilerServices;

namespace Lambdad.Runtime
{
    /// <summary>
    /// Compiles the function's code while it is loaded, not at its first call: where AWS_LAMBDA_DOTNET_PREJIT is Always, or it is
    /// ProvisionedConcurrency, as it is unless it is set, and the environment is made ahead of need.
    /// </summary>
    internal static class PreJit
    {
        private const BindingFlags Own =
            BindingFlags.DeclaredOnly | BindingFlags.NonPublic | BindingFlags.Public | BindingFlags.Instance | BindingFlags.Static;
        private static readonly string[] Passed = { "Microsoft.", "System.", "Newtonsoft.", "netstandard" }; // as on AWS

        public static bool IsWanted
        {
            get
            {
                string when = Environment.GetEnvironmentVariable("AWS_LAMBDA_DOTNET_PREJIT");
                bool isAhead = Environment.GetEnvironmentVariable("AWS_LAMBDA_INITIALIZATION_TYPE") == "provisioned-concurrency";
                return Ascii.IsSame(when, "Always") || (isAhead && !Ascii.IsSame(when, "Never"));
            }
        }

        /// <summary>Of an assembly and of those that it refers to. What cannot be compiled is left to its first call.</summary>
        public static void Prepare(Assembly assembly) => Prepare(assembly, new HashSet<string>());

        private static void Prepare(Assembly assembly, HashSet<string> seen)
        {
            foreach (Type type in TypesOf(assembly))
            {
                foreach (MethodBase method in type.GetMembers(Own).OfMethods())
                {
                    Prepare(method);
                }
            }
            foreach (AssemblyName name in assembly.GetReferencedAssemblies())
            {
                bool isPassed = Array.Exists(Passed, part => name.FullName.StartsWith(part, StringComparison.Ordinal));
                if (!isPassed && seen.Add(name.FullName))
                {
                    Assembly referred = Load(name);
                    if (referred != null)
                    {
                        Prepare(referred, seen);
                    }
                }
            }
        }

        private static IEnumerable<MethodBase> OfMethods(this MemberInfo[] members)
        {
            foreach (MemberInfo member in members)
            {
                if (member is MethodBase method && !method.IsAbstract && !method.ContainsGenericParameters)
                {
                    yield return method;
                }
            }
        }

        private static IEnumerable<Type> TypesOf(Assembly assembly)
        {
            Type[] types;
            try
            {
                types = assembly.GetTypes();
            }
            catch (ReflectionTypeLoadException some)
            {
                types = some.Types;
            }
            return Array.FindAll(types, type => type != null && !type.ContainsGenericParameters);
        }

        private static Assembly Load(AssemblyName name)
        {
            try
            {
                return Assembly.Load(name);
            }
            catch (Exception absent) when (absent is IOException || absent is BadImageFormatException)
            {
                return null;
            }
        }

        /// <summary>A method whose signature or code names what is not there says so when it is called, if it ever is.</summary>
        private static void Prepare(MethodBase method)
        {
            try
            {
                RuntimeHelpers.PrepareMethod(method.MethodHandle);
            }
            catch (Exception unusable) when (!(unusable is OutOfMemoryException))
            {
                return;
            }
        }
    }
}
