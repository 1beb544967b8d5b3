"""The world behind the ports: each adapter as native as it likes, each judged by its port's one suite."""
