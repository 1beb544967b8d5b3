"""Programs that measure the agent on this machine; `tweeling-edge bench` prints what they find as JSON lines."""
