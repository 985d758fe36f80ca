# frozen_string_literal: true

module LambdaRuntime
  # What the function's handler string names: "file.method" or "file.Class.method", the class perhaps in modules ("A::B").
  class Handler
    FORM = 'must be of form FILENAME.METHOD or FILENAME.CLASS.METHOD where FILENAME corresponds with an existing Ruby source' \
           ' file FILENAME.rb, CLASS is an optional module/class namespace and METHOD is a callable method. If using CLASS,' \
           ' METHOD must be a class-level method.'

    # Loads the file. Whatever that raises is the function's.
    def initialize(name)
      parts = name.split('.')
      raise ArgumentError, "Invalid handler #{parts}, #{FORM}" unless [2, 3].include?(parts.size)

      file, *namespace, @method = parts
      @namespace = namespace.first
      require file # from the package first, then wherever else Ruby looks
      # A method outside of classes is everybody's private one, so any object will do; it should be one that tells its name well.
      @target = LambdaHandler.new unless @namespace
    end

    def call(event, context)
      target = @target || Object.const_get(@namespace)
      target.__send__(@method, event: event, context: context)
    end
  end
end

module AwsLambda
  # Events from JSON and responses to JSON, by the name and with the methods of AWS's own runtime: libraries call them, and
  # functions may put others in their place.
  class Marshaller
    class << self
      # A body which is not JSON by its content type reaches the function as it is. `raw_request` has `body` and `[header]`.
      def marshall_request(raw_request)
        text = raw_request.body.dup.force_encoding(Encoding::UTF_8)
        content_type = raw_request['Content-Type']
        return text unless content_type.nil? || content_type.empty? || content_type == 'application/json'

        JSON.parse(text, quirks)
      end

      # What becomes the body, perhaps with its content type. What the object says of itself counts (`to_json`, and so `as_json`
      # of Rails); an IO's content goes out as it is.
      def marshall_response(method_response)
        case method_response
        when StringIO, IO then [method_response, 'application/unknown']
        else method_response.to_json
        end
      end

      private

      # Old releases of the library want to be told that a document may be a mere number or string.
      def quirks
        @quirks ||= JSON::VERSION.start_with?('1.') ? { quirks_mode: true } : {}
      end
    end
  end
end

# On it functions outside of classes are called.
class LambdaHandler; end
