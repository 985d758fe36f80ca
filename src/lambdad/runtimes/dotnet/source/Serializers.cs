using System;
using System.IO;
using System.Reflection;

namespace Lambdad.Runtime
{
    /// <summary>Finds what the LambdaSerializer attribute of a method, or else of its assembly, names.</summary>
    internal sealed class Serializers
    {
        private const string AttributeName = "Amazon.Lambda.Core.LambdaSerializerAttribute";
        private const string ContractName = "Amazon.Lambda.Core.ILambdaSerializer";

        private readonly HandlerName name;
        private readonly object serializer; // null where none is named
        private readonly Type contract;

        /// <summary>A Fault where one is named that cannot be used.</summary>
        public Serializers(HandlerName name, MethodInfo method, Assembly assembly)
        {
            this.name = name;
            Attribute attribute = Named(Attribute.GetCustomAttributes(method, true))
                ?? Named(Attribute.GetCustomAttributes(assembly));
            if (attribute != null)
            {
                serializer = Create(attribute, out contract);
            }
        }

        private static Attribute Named(Attribute[] attributes) =>
            Array.Find(attributes, attribute => attribute.GetType().FullName == AttributeName);

        private static object Create(Attribute attribute, out Type contract)
        {
            string of = attribute.GetType().FullName;
            PropertyInfo property = attribute.GetType().GetProperty("SerializerType");
            if (property == null)
            {
                throw new Fault("The '" + of + "' class is invalid: no 'SerializerType' property detected.");
            }
            if (!(property.GetValue(attribute) is Type type))
            {
                throw new Fault("The 'SerializerType' property on attribute class '" + of + "' is not set.");
            }
            ConstructorInfo constructor = type.GetConstructor(Type.EmptyTypes);
            if (constructor == null)
            {
                throw new Fault(
                    "The indicated serializer '" + type.FullName + "' does not define a public zero-parameter constructor.");
            }
            contract = type.GetInterface(ContractName);
            if (contract == null)
            {
                throw new Fault(
                    "The '" + type.FullName + "' class is invalid: it does not implement the 'ILambdaSerializer' interface.");
            }
            return constructor.Invoke(null);
        }

        public ISerialization ForInput(Type type) => type == typeof(Stream) ? new StreamSerialization() : Custom(type, "deserialize input");

        public ISerialization ForOutput(Type type) =>
            typeof(Stream).IsAssignableFrom(type) ? new StreamSerialization() : Custom(type, "serialize output");

        private ISerialization Custom(Type type, string attempt)
        {
            if (serializer == null)
            {
                throw new Fault("Could not find the LambdaSerializerAttribute on the assembly '" + name.Assembly + "' or method '"
                    + name.Method + "' while attempting to " + attempt + " data of type '" + type.FullName + "'. To use types"
                    + " other than System.IO.Stream as input/output parameters, the assembly or Lambda function should be annotated"
                    + " with " + AttributeName + ".");
            }
            return new CustomSerialization(serializer, contract, type);
        }
    }
}
