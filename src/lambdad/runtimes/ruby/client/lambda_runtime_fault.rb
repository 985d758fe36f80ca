# frozen_string_literal: true

module LambdaRuntime
  # An exception that the function let out, as AWS's Ruby runtimes tell it.
  class Fault
    MOST_FRAMES = 100
    # Others go into the header as `Function<UserException>`: a class's name may tell too much.
    TOLD = %w[ArgumentError NoMethodError Exception StandardError NameError LoadError SystemExit SystemStackError].freeze
    OWN_FILES = File.join(File.dirname(__FILE__), '')

    attr_reader :error, :error_type, :message

    # `phase` is "Init" or "Function".
    def initialize(error, phase)
      @error = error
      @error_type = "#{phase}<#{Fault.text(error.class.to_s)}>"
      @message = Fault.text(message_of(error))
    end

    def header_type
      TOLD.include?(@error.class.to_s) ? @error_type : 'Function<UserException>'
    end

    # Whether the process ends with it, as on AWS: what is no StandardError, and names that the function has not.
    def fatal?
      !@error.is_a?(StandardError) || @error.is_a?(NameError)
    end

    def to_h
      { 'errorMessage' => @message, 'errorType' => @error_type, 'stackTrace' => stack }
    end

    def payload
      JSON.generate(to_h)
    end

    # From where it was raised down to the function's first frame.
    def stack
      frames = (@error.backtrace || []).map { |frame| Fault.text(frame) }
      frames.take_while { |frame| !frame.start_with?(OWN_FILES) }.first(MOST_FRAMES)
    end

    # Valid UTF-8 of whatever text it is.
    def self.text(value)
      text = value.to_s
      return text.dup.force_encoding(Encoding::UTF_8).scrub if text.encoding == Encoding::BINARY

      text.encode(Encoding::UTF_8, invalid: :replace, undef: :replace).scrub
    end

    private

    def message_of(error)
      error.message
    rescue StandardError => e # whatever the function's object does when asked
      "<#{error.class} whose message raised #{e.class}>"
    end
  end
end
