# frozen_string_literal: true

require 'json'
require 'logger'
require 'time'

module LambdaRuntime
  # The line that AWS's Ruby runtimes make of a message: Ruby's own with the request's id in it.
  class LineFormatter < ::Logger::Formatter
    def call(severity, time, progname, message)
      "#{severity[0]}, [#{format_datetime(time).strip} ##{::Process.pid}] #{severity.rjust(5)} #{Log.request_id}" \
        " -- #{progname}: #{Fault.text(msg2str(message))}"
    end
  end

  # The JSON object that those with JSON logging make of a message.
  class JsonFormatter < ::Logger::Formatter
    def call(severity, time, progname, message)
      members = { 'timestamp' => time.utc.iso8601(3), 'level' => severity == 'ANY' ? 'FATAL' : severity }
      members.merge!(told(message))
      members['progname'] = Fault.text(progname) if progname
      members['requestId'] = Log.request_id if Log.request_id
      members['tenantId'] = Log.tenant_id if Log.tenant_id
      JSON.generate(members)
    end

    private

    def told(message)
      return { 'message' => Fault.text(message.is_a?(String) ? message : msg2str(message)) } unless message.is_a?(Exception)

      fault = Fault.new(message, '')
      { 'message' => fault.message, 'errorType' => message.class.to_s, 'errorMessage' => fault.message, 'stackTrace' => fault.stack }
    end
  end

  # A Logger of standard output or standard error writes log events: frames, or lines in which line ends have become carriage
  # returns.
  module LoggerPatch
    def initialize(device = nil, *arguments, **options)
      return super unless Log.console?(device)

      formatter = Log.json? ? JsonFormatter.new : LineFormatter.new
      super(device, *arguments, **options)
      self.level = Log.default_severity if Log.default_severity && !options.key?(:level)
      @lambda_formatter = options[:formatter] || formatter
      self.formatter = @lambda_formatter
      @lambda_device = device
    end

    def add(severity, message = nil, progname = nil, &block)
      severity ||= ::Logger::UNKNOWN
      return super unless @lambda_device
      return true if severity < level

      progname ||= @progname
      message, progname = block ? [yield, progname] : [progname, @progname] if message.nil?
      write_event(severity, message, progname)
    end
    alias log add

    private

    def write_event(severity, message, progname)
      name = format_severity(severity)
      text = format_message(name, Time.now, progname, message).to_s
      text = text.chomp("\n")
      if Log.frames
        Log.frames.write(text, name == 'ANY' ? 'FATAL' : name, Log.json? ? Frames::JSON_TYPE : Frames::TEXT_TYPE)
      else
        @lambda_device.write("#{text.tr("\n", "\r")}\n")
      end
      true
    end
  end
end
