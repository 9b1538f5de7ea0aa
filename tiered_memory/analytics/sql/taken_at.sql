SELECT taken_at_us FROM projection WHERE schema_version = $schema_version;
