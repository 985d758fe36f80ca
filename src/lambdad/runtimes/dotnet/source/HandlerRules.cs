using System;
using System.Reflection;
using System.Runtime.CompilerServices;

namespace Lambdad.Runtime
{
    /// <summary>Which methods and types AWS takes as handlers. A Fault with its words for any other.</summary>
    internal static class HandlerRules
    {
        public static void CheckMethod(MethodInfo method)
        {
            if (method.IsAbstract)
            {
                throw Refused(method, "an abstract method. Handler methods cannot be abstract."
                    + " Please specify a non-abstract handler method.");
            }
            if (method.IsGenericMethod)
            {
                throw Refused(method, "a generic method. Handler methods cannot be generic."
                    + " Please specify a non-generic handler method.");
            }
            if (method.ReturnType == typeof(void) && method.IsDefined(typeof(AsyncStateMachineAttribute), false))
            {
                throw Refused(method, "an 'async void' method. Handler methods cannot be 'async void'."
                    + " Please specify a method that is not 'async void'.");
            }
            ParameterInfo[] parameters = method.GetParameters();
            ParameterInfo last = parameters.Length > 0 ? parameters[parameters.Length - 1] : null;
            if (last != null && last.ParameterType.IsArray && last.IsDefined(typeof(ParamArrayAttribute), false))
            {
                throw Refused(method, "a 'params' method. Please specify a method that does not use 'params'.");
            }
            if ((method.CallingConvention & CallingConventions.VarArgs) != 0)
            {
                throw Refused(method, "a 'vararg (variable arguments)' method. Please specify a method that is not 'vararg'.");
            }
        }

        private static Fault Refused(MethodInfo method, string why) =>
            new Fault("The method '" + method + "' cannot be used as a Lambda Handler because it is " + why);

        public static void CheckType(Type type, MethodInfo method)
        {
            if (type.IsGenericType)
            {
                throw new Fault("The type '" + type.FullName + "' cannot be used as a Lambda Handler type because it is generic."
                    + " Handler methods cannot be located in generic types. Please specify a handler method in a non-generic type.");
            }
            if (!method.IsStatic && type.IsAbstract)
            {
                throw new Fault("The instance method '" + method + "' cannot be used as a Lambda Handler because its type '"
                    + type.FullName + "' is abstract. Please either use a static handler or specify a type that is not abstract.");
            }
            bool isStruct = type.IsValueType && !type.IsPrimitive && !type.IsEnum;
            if (!type.IsClass && !isStruct)
            {
                throw new Fault("The type '" + type.FullName + "' cannot be used as a handler type since it is not a class or a"
                    + " struct. Please specify a handler method on a class or struct.");
            }
        }
    }
}
