"""What cardcore is compared with over HTTP and in SQLite. Written for the benchmark only, as lean as their kind allows."""
