# frozen_string_literal: true

# The runtime client of the Ruby runtimes: loads the function and runs it for the Runtime API. Ruby 2.5 and every later one.

require_relative 'lambda_runtime_boot'
require_relative 'lambda_runtime_client'
require_relative 'lambda_runtime_context'
require_relative 'lambda_runtime_fault'
require_relative 'lambda_runtime_gems'
require_relative 'lambda_runtime_handler'
require_relative 'lambda_runtime_log'
require_relative 'lambda_runtime_process'

module LambdaRuntime
  INIT_FAILED = 252 # AWS's client ends with exit(-4) when the function cannot be loaded,
  INVOCATION_FATAL = 255 # and with exit(-1) after an error that it takes for the process's end

  class << self
    # Serves until it is killed.
    def main
      Boot.wait
      load_libraries
      Process.settle
      Log.set_up
      client = Client.new(ENV['AWS_LAMBDA_RUNTIME_API'].to_s)
      pid = ::Process.pid
      handler = load(client, pid)
      handle(client, handler, client.next, pid) while true
    rescue ApiClosed
      exit! 1
    rescue ApiError => e
      Process.say(e.message)
      exit! 1
    end

    private

    # Not before the function is known: it may bring its own.
    def load_libraries
      require 'json'
      require 'stringio'
      require 'time'
    end

    def load(client, pid)
      Gems.settle
      handler = Handler.new(ENV['_HANDLER'].to_s)
      leave_if_forked(pid)
      handler
    rescue Exception => e # rubocop:disable Lint/RescueException
      leave_if_forked(pid)
      fault = Fault.new(e, 'Init')
      Log.write_error(fault, "Init error when loading handler #{ENV['_HANDLER']}")
      client.report_init_error(fault.payload, fault.header_type)
      exit INIT_FAILED
    end

    def handle(client, handler, invocation, pid)
      headers = invocation.headers
      # Libraries that write logs of their own look for it there.
      $_global_aws_request_id = Log.request_id = headers['lambda-runtime-aws-request-id'] # rubocop:disable Style/GlobalVars
      Log.tenant_id = headers['lambda-runtime-aws-tenant-id']
      set_trace(headers['lambda-runtime-trace-id'])
      body, content_type, fault = run(handler, invocation)
      $stdout.flush
      leave_if_forked(pid)
      return client.respond(Log.request_id, body, content_type) unless fault

      client.report_error(Log.request_id, fault.payload, fault.header_type, is_last: fault.fatal?)
      exit INVOCATION_FATAL if fault.fatal?
    end

    # Body and content type, or a fault in the third place.
    def run(handler, invocation)
      event = AwsLambda::Marshaller.marshall_request(invocation)
      body, content_type = AwsLambda::Marshaller.marshall_response(handler.call(event, Context.new(invocation.headers)))
      body = body.read if body.respond_to?(:read)
      [body.to_s, content_type || 'application/json']
    rescue Exception => e # rubocop:disable Lint/RescueException
      fault = Fault.new(e, 'Function')
      Log.write_error(fault, fault.fatal? ? 'Critical exception from handler' : 'Error raised from handler method')
      [nil, nil, fault]
    end

    def set_trace(trace_id)
      ENV['_X_AMZN_TRACE_ID'] = trace_id
    end

    # A child that the handler forked and which came back here must not answer in its parent's place.
    def leave_if_forked(pid)
      exit! 0 unless ::Process.pid == pid
    end
  end
end

LambdaRuntime.main if $PROGRAM_NAME == __FILE__
