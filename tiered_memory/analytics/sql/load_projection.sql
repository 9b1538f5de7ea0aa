INSERT INTO projection VALUES ($schema_version, $taken_at_us);
