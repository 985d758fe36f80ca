# frozen_string_literal: true

module LambdaRuntime
  # Where RubyGems looks, and the AWS SDK among what it finds. Of two versions of a gem RubyGems takes the newer one, so the
  # runtime's SDK is out of sight of a function that brings its own.
  module Gems
    SDK = 'aws-sdk-core'
    KNOWS_ENDPOINT_VARIABLES = '3.187.0' # before it the SDK does not read AWS_ENDPOINT_URL
    GENERAL = 'AWS_ENDPOINT_URL'
    S3 = 'AWS_ENDPOINT_URL_S3'

    class << self
      # Whatever that raises is the function's.
      def settle
        return unless defined?(Gem) # a function may say RUBYOPT=--disable-gems

        own = own_sdk
        own ? Gem.use_paths(of_ruby, Gem.path - [Gem.dir]) : Gem.use_paths(Gem.dir, [*Gem.path, of_ruby])
        teach_endpoint_variables if own && own < Gem::Version.new(KNOWS_ENDPOINT_VARIABLES)
      end

      # The folder of the gems that come with Ruby, which a GEM_PATH leaves out. Debian's own RubyGems has another default, for
      # what a machine's owner installs.
      def of_ruby
        Gem.respond_to?(:upstream_default_dir) ? Gem.upstream_default_dir : Gem.default_dir
      end

      private

      # The version of the function's own, in its package or a layer; nil if it brings none.
      def own_sdk
        folders = Gem.path - [Gem.dir]
        names = folders.flat_map { |folder| Dir.glob(File.join(folder, 'specifications', "#{SDK}-*.gemspec")) }
        versions = names.map { |name| File.basename(name, '.gemspec').delete_prefix("#{SDK}-") }
        versions.select { |version| Gem::Version.correct?(version) }.map { |version| Gem::Version.new(version) }.max
      end

      # As its common settings, which the function may set again. A bucket's name before an address is none.
      def teach_endpoint_variables
        return unless ENV[GENERAL] || ENV[S3]

        require SDK
        general, s3 = ENV.values_at(GENERAL, S3)
        Aws.config[:endpoint] ||= general if general
        Aws.config[:s3] = { force_path_style: true, **(s3 ? { endpoint: s3 } : {}), **Aws.config.fetch(:s3, {}) }
      rescue LoadError
        nil # the function hears of it if it wants the SDK
      end
    end
  end
end
