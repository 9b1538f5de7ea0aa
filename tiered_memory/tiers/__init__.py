"""Hot, warm, cold and local tiers behind one contract."""
