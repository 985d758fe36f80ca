using System;
using System.IO;
using System.Threading.Tasks;
using Amazon.Lambda.Core;

namespace Example
{
    /// <summary>What cannot be a handler.</summary>
    public class Wrong
    {
        public string NoSerializer(string input) => input;

        public Stream Three(Stream one, ILambdaContext two, ILambdaContext three) => one;

        public Stream SecondIsNoContext(Stream one, Stream two) => one;

        public Stream Generic<T>(Stream one) => one;

        public async void AsyncVoid(Stream one) => await Task.Delay(1);

        public Stream Params(params Stream[] all) => all[0];

        [LambdaSerializer(typeof(NoSerializerAtAll))]
        public string BadSerializer(string input) => input;

        [LambdaSerializer(typeof(NeedsAnArgument))]
        public string SerializerWithArgument(string input) => input;

        [LambdaSerializer(null)]
        public string NullSerializer(string input) => input;
    }

    public sealed class NoSerializerAtAll
    {
    }

    public sealed class NeedsAnArgument
    {
        public NeedsAnArgument(int argument)
        {
        }
    }

    public abstract class Abstract
    {
        public abstract Stream Handle(Stream input);

        public Stream Whole(Stream input) => input;
    }

    public class GenericType<T>
    {
        public Stream Handle(Stream input) => input;
    }

    public interface IHandler
    {
        Stream Handle(Stream input);
    }

    public sealed class FailsToBegin
    {
        public FailsToBegin() => throw new InvalidOperationException("no beginning");

        public Stream Handle(Stream input) => input;
    }

    public static class FailsToLoad
    {
        private static readonly int Number = int.Parse("no number");

        public static Stream Handle(Stream input) => Number > 0 ? input : null;
    }
}
