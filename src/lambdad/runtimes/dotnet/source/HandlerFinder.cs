using System;
using System.Collections.Generic;
using System.IO;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Threading.Tasks;

namespace Lambdad.Runtime
{
    /// <summary>From a handler string to something that can be called. A Fault with AWS's words where that cannot be.</summary>
    internal static class HandlerFinder
    {
        private const string ContextName = "Amazon.Lambda.Core.ILambdaContext";
        private const BindingFlags Any =
            BindingFlags.DeclaredOnly | BindingFlags.NonPublic | BindingFlags.Public | BindingFlags.Instance | BindingFlags.Static;

        public static Handler Find(string handlerName, FunctionLog log)
        {
            HandlerName name = HandlerName.Of(handlerName);
            CoreLogging.Install(log);
            Assembly assembly = Load(name);
            Type type = assembly.GetType(name.Type);
            if (type == null)
            {
                throw new Fault("Unable to load type '" + name.Type + "' from assembly '" + name.Assembly + "'.");
            }
            MethodInfo method = ByName(type, name.Method) ?? BySignature(type, name.Method);
            if (method == null)
            {
                throw new Fault("Unable to find method '" + name.Method + "' in type '" + name.Type + "' from assembly '"
                    + name.Assembly + "': Found no methods matching method name '" + name.Method + "'.");
            }
            HandlerRules.CheckMethod(method);
            HandlerRules.CheckType(type, method);
            object instance = Instance(type, method);
            if (PreJit.IsWanted)
            {
                PreJit.Prepare(assembly);
            }
            return Build(name, instance, method, new Serializers(name, method, assembly));
        }

        private static Assembly Load(HandlerName name)
        {
            try
            {
                return Assembly.Load(name.Assembly);
            }
            catch (FileNotFoundException missing)
            {
                throw new Fault("Could not find the specified handler assembly with the file name '" + missing.FileName
                    + "'. The assembly should be located in the root of your uploaded .zip file.");
            }
            catch (Exception unusable) when (unusable is BadImageFormatException || unusable is FileLoadException)
            {
                throw new Fault("Unable to load assembly '" + name.Assembly + "'.");
            }
        }

        /// <summary>Of the type itself, or of the nearest type above that has one.</summary>
        private static MethodInfo ByName(Type type, string name)
        {
            for (Type one = type; one != null; one = one.BaseType)
            {
                try
                {
                    MethodInfo found = one.GetMethod(name, Any);
                    if (found != null)
                    {
                        return found;
                    }
                }
                catch (AmbiguousMatchException)
                {
                    List<string> signatures = new List<string>();
                    foreach (MethodInfo method in one.GetMethods(Any))
                    {
                        if (method.Name == name)
                        {
                            signatures.Add(method.ToString());
                        }
                    }
                    throw new Fault("The method '" + name + "' in type '" + one.FullName + "' appears to have a number of overloads."
                        + " To call this method please specify a complete method signature. Possible candidates are:\n"
                        + string.Join("\n", signatures) + ".");
                }
            }
            return null;
        }

        private static MethodInfo BySignature(Type type, string signature)
        {
            for (Type one = type; one != null; one = one.BaseType)
            {
                MethodInfo found = Array.Find(one.GetMethods(Any), method => method.ToString() == signature);
                if (found != null)
                {
                    return found;
                }
            }
            return null;
        }

        /// <summary>Made when the function is loaded, as on AWS; of a static method the type's initializer runs then.</summary>
        private static object Instance(Type type, MethodInfo method)
        {
            if (!method.IsStatic)
            {
                return Activator.CreateInstance(type);
            }
            RuntimeHelpers.RunClassConstructor(type.TypeHandle);
            return null;
        }

        private static Handler Build(HandlerName name, object instance, MethodInfo method, Serializers serializers)
        {
            ParameterInfo[] parameters = method.GetParameters();
            if (parameters.Length > 2)
            {
                throw new Fault("Method '" + method.Name + "' of type '" + name.Type
                    + "' is not supported: the method has more than 2 parameters.");
            }
            bool takesContext = parameters.Length > 0 && IsContext(parameters[parameters.Length - 1].ParameterType);
            if (parameters.Length == 2 && !takesContext)
            {
                throw new Fault("Method '" + method.Name + "' of type '" + name.Type + "' is not supported: the method has 2"
                    + " parameters, but the second parameter is not of type '" + ContextName + "'.");
            }
            bool takesEvent = parameters.Length > (takesContext ? 1 : 0);
            ISerialization input = takesEvent ? serializers.ForInput(parameters[0].ParameterType) : null;
            PropertyInfo taskResult = ResultOf(method.ReturnType);
            Type result = taskResult != null ? taskResult.PropertyType : method.ReturnType;
            bool isNothing = result == typeof(void) || (taskResult == null && typeof(Task).IsAssignableFrom(result));
            return new Handler(
                instance, method, input, takesContext, isNothing ? null : serializers.ForOutput(result), taskResult);
        }

        private static bool IsContext(Type type) => type.FullName == ContextName;

        /// <summary>Of a Task of something, or of a class that is derived from one; null of anything else.</summary>
        private static PropertyInfo ResultOf(Type type)
        {
            for (Type one = type; one != null; one = one.BaseType)
            {
                if (one.IsConstructedGenericType && one.GetGenericTypeDefinition() == typeof(Task<>))
                {
                    return one.GetProperty("Result");
                }
            }
            return null;
        }
    }
}
