using System.Text;

namespace Lambdad.Runtime
{
    /// <summary>
    /// Texts of headers and variables. What .NET has for these asks for the culture, whose library (ICU) takes 10 milliseconds to
    /// load; many functions never need it.
    /// </summary>
    internal static class Ascii
    {
        /// <summary>Other letters become question marks: names of types may have any, header lines may not.</summary>
        public static byte[] Bytes(string text) => Encoding.ASCII.GetBytes(text);

        public static string Lower(string text)
        {
            char[] letters = text.ToCharArray();
            for (int i = 0; i < letters.Length; i++)
            {
                letters[i] = Lower(letters[i]);
            }
            return new string(letters);
        }

        /// <summary>Whatever the case of their letters; both may be null.</summary>
        public static bool IsSame(string one, string other)
        {
            if (one == null || other == null || one.Length != other.Length)
            {
                return one == null && other == null;
            }
            for (int i = 0; i < one.Length; i++)
            {
                if (Lower(one[i]) != Lower(other[i]))
                {
                    return false;
                }
            }
            return true;
        }

        /// <summary>A whole number of up to nine digits; -1 where it is none.</summary>
        public static int Number(string text)
        {
            long number = text.Length <= 9 ? LongNumber(text) : -1;
            return (int)number;
        }

        /// <summary>The same with up to 18 digits.</summary>
        public static long LongNumber(string text)
        {
            if (string.IsNullOrEmpty(text) || text.Length > 18)
            {
                return -1;
            }
            long number = 0;
            foreach (char digit in text)
            {
                if (digit < '0' || digit > '9')
                {
                    return -1;
                }
                number = number * 10 + (digit - '0');
            }
            return number;
        }

        private static char Lower(char letter) => letter >= 'A' && letter <= 'Z' ? (char)(letter + 32) : letter;
    }
}
